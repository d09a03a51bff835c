//! A probe running in a separate process.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use benches::probes::{Probe, Told};
use benches::process::Leashed;

/// Time limit for each line of its output.
const LIMIT: Duration = Duration::from_secs(120);

/// A program that prints its readings.
pub(crate) struct Probing {
    process: Leashed,
    probe: &'static Probe,
    kib: Vec<u64>,
}

impl Probing {
    /// Starts a probe, and waits until it sleeps or has printed all readings.
    pub(crate) fn begin(probe: &'static Probe, command: &mut Command) -> Result<Probing> {
        let process = Leashed::start(command, probe.name)?;
        let mut probing = Probing { process, probe, kib: Vec::new() };
        probing.listen()?;
        ensure!(probing.complete() != probe.idles, "the last reading came too early");
        Ok(probing)
    }

    fn complete(&self) -> bool {
        self.kib.len() == self.probe.readings.len()
    }

    /// Collects its readings until it sleeps, or there are no more.
    fn listen(&mut self) -> Result<()> {
        while !self.complete() {
            let line = self.process.line(LIMIT)?;
            let wanted = self.probe.readings[self.kib.len()];
            match Told::parse(&line) {
                Some(Told::Reading(name, kib)) if name == wanted => self.kib.push(kib),
                Some(Told::Idle) => return Ok(()),
                _ => bail!("unexpected output: {line}"),
            }
        }
        Ok(())
    }

    /// Waits for its end and returns its readings, in KiB.
    pub(crate) fn end(mut self) -> Result<Vec<u64>> {
        self.listen()?;
        ensure!(self.complete(), "the probe sleeps twice");
        let (status, more) = self.process.run(LIMIT)?;
        ensure!(status.success(), "exited with {status}");
        ensure!(more.is_empty(), "unexpected output: {}", more.join("; "));
        Ok(self.kib)
    }
}

#[cfg(test)]
mod tests {
    use benches::probes::find;

    use super::*;

    /// The readings of a program that runs this script.
    fn readings(probe: &str, script: &str) -> Result<Vec<u64>> {
        let mut command = Command::new("sh");
        Probing::begin(find(probe).unwrap(), command.args(["-c", script]))?.end()
    }

    #[test]
    fn readings_come_in_order_with_the_sleep_before_the_last() {
        let good = readings("parked", "echo peak 9; echo idle; echo after 7");
        assert_eq!(good.unwrap(), [9, 7]);
        let good = readings("handover", "echo end 9");
        assert_eq!(good.unwrap(), [9]);
    }

    #[test]
    fn what_a_probe_does_not_say_is_an_error() {
        let error = |script: &str| readings("parked", script).unwrap_err().to_string();
        assert!(error("echo after 9").contains("unexpected output: after 9"));
        assert!(error("echo peak 9; echo after 7").contains("too early"));
        assert!(error("echo peak 9; echo idle; echo idle").contains("twice"));
        let more = error("echo peak 9; echo idle; echo after 7; echo more 5");
        assert!(more.contains("unexpected output: more 5"), "{more}");
        let bad = error("echo peak 9; echo idle; echo after 7; exit 3");
        assert!(bad.contains("exit status: 3"), "{bad}");
        let died = error("echo last line >&2; exit 4");
        assert!(died.contains("exit status: 4") && died.contains("last line"), "{died}");
    }
}

//! System calls of a program, counted in a run that is not timed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use benches::installed;

/// Counts the system calls of all threads of a program; `dir` is for the summary.
pub(crate) fn count(program: &Command, dir: &Path) -> Result<u64> {
    let file = dir.join("calls");
    let mut traced = Command::new(installed::find("strace", "strace")?);
    // The variables are for the program: strace itself must not be preloaded.
    traced.env_clear().args(["-f", "-c", "-o"]).arg(&file);
    for (name, value) in program.get_envs() {
        let value = value.unwrap_or_default();
        traced.arg("-E").arg(format!("{}={}", name.display(), value.display()));
    }
    traced.arg(program.get_program()).args(program.get_args());
    let output = traced.stdin(Stdio::null()).stdout(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "strace: {} {said}", output.status);
    calls(&fs::read_to_string(&file)?).context("strace counted nothing")
}

/// All calls in strace's summary.
fn calls(summary: &str) -> Option<u64> {
    let total = summary.lines().find(|line| line.trim_end().ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
                       ------ ----------- ----------- --------- --------- ----------------\n \
                       61.29    0.157873        7517        21         4 futex\n\
                       100.00    0.257873          17      1234        17 total\n";
        assert_eq!(calls(summary), Some(1234));
        assert_eq!(calls("nothing"), None);
    }
}

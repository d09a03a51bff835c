//! Runs the measuring programs.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use wait_timeout::ChildExt;

/// Output of one run of a measuring program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Sample {
    /// Nanoseconds per operation in the fastest pass.
    pub(crate) ns: f64,
    /// Nanoseconds per operation in the first pass.
    pub(crate) first_ns: f64,
    /// Resident memory with the row's blocks live.
    pub(crate) rss_kib: u64,
    /// Peak resident memory of the run.
    pub(crate) peak_kib: u64,
}

impl Sample {
    fn parse(line: &str) -> Option<Sample> {
        let field = |key: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        Some(Sample {
            ns: field("ns")?.parse().ok()?,
            first_ns: field("first_ns")?.parse().ok()?,
            rss_kib: field("rss_kib")?.parse().ok()?,
            peak_kib: field("peak_kib")?.parse().ok()?,
        })
    }
}

/// Runs one row of one program.
pub(crate) fn sample(program: &Path, row: &str, scale: f64, limit: Duration) -> Result<Sample> {
    let mut child = Command::new(program)
        .args([row, &scale.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // The output fits in a pipe, so it can be read after the exit.
    let Some(status) = child.wait_timeout(limit)? else {
        child.kill()?;
        child.wait()?;
        bail!("ran longer than {} s", limit.as_secs());
    };
    let mut line = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut line)?;
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said)?;
    }
    if !status.success() {
        bail!("{status} {}", said.lines().next().unwrap_or(""));
    }
    Sample::parse(&line).with_context(|| format!("unexpected output: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_output_is_read_by_its_keys() {
        let line = "allocator=x row=pair ns=1.5 first_ns=2.25 ops=9 rss_kib=7 peak_kib=8\n";
        let sample = Sample::parse(line).unwrap();
        assert_eq!(sample, Sample { ns: 1.5, first_ns: 2.25, rss_kib: 7, peak_kib: 8 });
        assert_eq!(Sample::parse("ns=1.5 rss_kib=7"), None);
        assert_eq!(Sample::parse(""), None);
    }

    #[test]
    fn programs_that_crash_or_hang_or_babble_are_errors() {
        let limit = Duration::from_secs(5);
        let error = |program: &str, row: &str, limit| {
            sample(Path::new(program), row, 1.0, limit).unwrap_err().to_string()
        };
        assert!(error("/bin/false", "pair", limit).contains("exit status: 1"));
        assert!(error("/bin/echo", "pair", limit).contains("unexpected output: pair 1"));
        let short = Duration::from_millis(50);
        // `sleep 9 1` sleeps ten seconds.
        assert!(error("/bin/sleep", "9", short).contains("longer"));
        assert!(error("/nowhere", "pair", limit).contains("cannot start"));
    }
}

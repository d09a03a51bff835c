//! The figures of a run, and what measures them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use benches::measured::Measured;
use benches::scratch::Scratch;
use serde::{Deserialize, Serialize};

/// What a program took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) instructions: u64,
    pub(crate) faults: u64,
    pub(crate) calls: u64,
    pub(crate) peak_kib: u64,
}

/// A figure, and by how much it may differ.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) get: fn(&Figures) -> u64,
    /// In percent, and in addition. Calls depend on time: some memory is purged when it was
    /// free for long enough.
    tolerance: (u64, u64),
}

pub(crate) const FIGURES: [Figure; 4] = [
    Figure { name: "instructions", get: |of| of.instructions, tolerance: (2, 100_000) },
    Figure { name: "page faults", get: |of| of.faults, tolerance: (8, 128) },
    Figure { name: "system calls", get: |of| of.calls, tolerance: (25, 48) },
    Figure { name: "peak, KiB", get: |of| of.peak_kib, tolerance: (5, 512) },
];

impl Figure {
    /// Whether a figure has changed by more than its tolerance.
    pub(crate) fn has_moved(&self, now: u64, then: u64) -> bool {
        let (percent, more) = self.tolerance;
        now.abs_diff(then) > then * percent / 100 + more
    }
}

/// Faults and peak are the least of so many runs: what the kernel maps of a program's file, and
/// how much of it at once, differs.
const RUNS: usize = 3;

/// What measures a program.
pub(crate) struct Meter {
    /// The library to preload.
    pub(crate) library: PathBuf,
    /// The small program that starts another and measures it.
    pub(crate) forker: PathBuf,
    pub(crate) strace: PathBuf,
    pub(crate) valgrind: PathBuf,
    pub(crate) scratch: Scratch,
}

impl Meter {
    /// Runs a program with each tool.
    pub(crate) fn measure(&self, program: &Path, arguments: &[&str]) -> Result<Figures> {
        let preload = format!("LD_PRELOAD={}", self.library.display());
        let (mut faults, mut peak_kib) = (u64::MAX, u64::MAX);
        for _ in 0..RUNS {
            let mut plain = Command::new(&self.forker);
            let text = output(plain.args(["measure", &preload]).arg(program).args(arguments))?;
            let measured: Measured = serde_json::from_str(&text)?;
            faults = faults.min(measured.faults);
            peak_kib = peak_kib.min(measured.peak_kib);
        }
        let file = self.scratch.path().join("calls");
        let mut traced = Command::new(&self.strace);
        traced.args(["-f", "-c", "-E", &preload, "-o"]).arg(&file);
        output(traced.arg(program).args(arguments))?;
        let calls = calls(&fs::read_to_string(&file)?).context("strace counted nothing")?;

        let file = self.scratch.path().join("instructions");
        let mut counted = Command::new(&self.valgrind);
        let out = format!("--callgrind-out-file={}", file.display());
        counted.args(["--quiet", "--tool=callgrind", &out]).arg(program).args(arguments);
        output(counted.env("LD_PRELOAD", &self.library))?;
        let counted = fs::read_to_string(&file)?;
        let instructions = instructions(&counted).context("callgrind counted nothing")?;
        Ok(Figures { instructions, faults, calls, peak_kib })
    }
}

/// The standard output of a command that succeeds.
fn output(command: &mut Command) -> Result<String> {
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "{}: {}", command.get_program().display(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// All calls in strace's summary.
fn calls(summary: &str) -> Option<u64> {
    let total = summary.lines().find(|line| line.trim_end().ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}

/// All instructions in callgrind's file.
fn instructions(file: &str) -> Option<u64> {
    let total = |line: &str| line.strip_prefix("totals: ")?.trim().parse().ok();
    file.lines().find_map(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n\
                       ------ ----------- ----------- --------- --------- ----------------\n \
                       61.29    0.157873        7517        21         4 futex\n\
                       100.00    0.257873          17      1234        17 total\n";
        assert_eq!(calls(summary), Some(1234));
        assert_eq!(calls("nothing"), None);
        assert_eq!(instructions("version: 1\nsummary: 17\ntotals: 1718\n"), Some(1718));
    }

    #[test]
    fn a_figure_moves_in_both_directions() {
        let [instructions, ..] = FIGURES;
        let then = 100_000_000;
        assert!(!instructions.has_moved(then + 2_000_000, then));
        assert!(instructions.has_moved(then + 2_200_000, then));
        assert!(instructions.has_moved(then - 2_200_000, then));
    }
}

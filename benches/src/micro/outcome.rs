//! The result of a workload, and the timing of its passes.

use std::time::Instant;

use crate::procfs;

/// Timed passes after the warm-up.
pub(super) const PASSES: usize = 3;

/// The result of a workload.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Nanoseconds per operation in the fastest timed pass.
    pub best_ns: f64,
    /// Nanoseconds per operation in the first timed pass.
    pub first_ns: f64,
    /// Operations in one pass.
    pub ops: u64,
    /// Resident memory after the last pass, with the row's blocks still live.
    pub rss_kib: u64,
}

impl Outcome {
    /// From the seconds of each pass.
    pub(super) fn new(ops: u64, seconds: &[f64], rss_kib: u64) -> Outcome {
        let per_op = |s: f64| s * 1e9 / ops as f64;
        Outcome {
            best_ns: per_op(seconds.iter().copied().fold(f64::INFINITY, f64::min)),
            first_ns: per_op(seconds[0]),
            ops,
            rss_kib,
        }
    }
}

/// Current resident memory, in KiB.
pub(super) fn rss_kib() -> u64 {
    procfs::resident_bytes(std::process::id()).unwrap_or(0) >> 10
}

/// `n` scaled, at least 1.
pub(super) fn scaled(n: u64, scale: f64) -> u64 {
    ((n as f64 * scale).round() as u64).max(1)
}

/// Runs `pass`, of `ops` operations, once to warm up and then timed.
pub(super) fn passes(ops: u64, mut pass: impl FnMut()) -> Outcome {
    pass();
    let mut seconds = [0.0; PASSES];
    for s in &mut seconds {
        let start = Instant::now();
        pass();
        *s = start.elapsed().as_secs_f64();
    }
    Outcome::new(ops, &seconds, rss_kib())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_takes_the_fastest_pass() {
        let outcome = Outcome::new(1000, &[3e-6, 1e-6, 2e-6], 7);
        assert!((outcome.best_ns - 1.0).abs() < 1e-9);
        assert!((outcome.first_ns - 3.0).abs() < 1e-9);
    }
}

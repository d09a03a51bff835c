//! Shared by the workloads: amounts, checksums, and teams of threads.

use std::sync::Barrier;
use std::thread;

/// `n` scaled, at least 1.
pub(crate) fn scaled(n: u64, scale: f64) -> u64 {
    ((n as f64 * scale).round() as u64).max(1)
}

/// Combines a checksum with a value.
#[inline]
pub(crate) fn fold(sum: u64, value: u64) -> u64 {
    (sum.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A part of `n`, proportional to 32 random bits. Unlike a generator's own
/// method it never draws again, so the following draws do not depend on `n`.
#[inline]
pub(crate) fn share(random: u32, n: usize) -> usize {
    ((u64::from(random) * n as u64) >> 32) as usize
}

/// The product of two 32-bit fractions.
#[inline]
pub(crate) fn product(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

/// Runs `work` on threads that start together; returns the sum of their
/// results.
pub(crate) fn team(threads: usize, work: impl Fn(usize) -> u64 + Sync) -> u64 {
    let gate = Barrier::new(threads);
    let member = |thread: usize| {
        gate.wait();
        work(thread)
    };
    thread::scope(|scope| {
        let member = &member;
        let running: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || member(thread))).collect();
        running.into_iter().map(|t| t.join().unwrap()).fold(0, u64::wrapping_add)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_stays_below_the_whole() {
        assert_eq!(share(0, 10), 0);
        assert_eq!(share(u32::MAX, 10), 9);
        assert_eq!(share(1 << 31, 10), 5);
    }

    #[test]
    fn a_team_runs_each_member_once() {
        assert_eq!(team(4, |thread| 1 << (8 * thread)), 0x0101_0101);
    }
}

//! The clock.

use super::syscall::syscall;

/// Milliseconds since a fixed point in time; never decreases, but is 0 whenever
/// the kernel does not tell. Has the resolution of the kernel's tick.
pub fn monotonic_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let args = [libc::CLOCK_MONOTONIC_COARSE as usize, (&raw mut now).expose_provenance()];
    // SAFETY: writes the time to `now`. A refusal leaves it 0.
    let _ = unsafe { syscall(libc::SYS_clock_gettime, args) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

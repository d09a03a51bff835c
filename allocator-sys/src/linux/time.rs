//! The clock.

use super::errno::ErrnoGuard;

/// Milliseconds since a fixed point in time; never decreases. Has the
/// resolution of the kernel's tick, and usually needs no system call.
pub fn monotonic_ms() -> u64 {
    let _guard = ErrnoGuard::save();
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time to `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

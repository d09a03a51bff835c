//! The time.

use super::errno::ErrnoGuard;

/// Milliseconds since some fixed moment; never goes back. As coarse as the
/// kernel's tick, and as cheap as the vDSO makes it.
pub fn monotonic_ms() -> u64 {
    let _guard = ErrnoGuard::save();
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time into `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

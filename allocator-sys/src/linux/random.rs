//! Unpredictable numbers.

use super::errno::ErrnoGuard;
use core::sync::atomic::{AtomicU64, Ordering};

/// The increment of the sequence in [`fallback_random`]: 2⁶⁴ divided by the
/// golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// 64 random bits from the kernel. If the kernel's pool is not ready, or the
/// call is forbidden, they are mixed from the random bytes that the kernel
/// passed at process start, the time and an address.
pub fn random() -> u64 {
    let _guard = ErrnoGuard::save();
    kernel_random().unwrap_or_else(fallback_random)
}

/// 64 bits from `getrandom`, without blocking.
fn kernel_random() -> Option<u64> {
    let mut bits = 0u64;
    // SAFETY: the kernel writes at most the eight bytes of `bits`.
    let written = unsafe {
        libc::syscall(libc::SYS_getrandom, &raw mut bits, size_of::<u64>(), libc::GRND_NONBLOCK)
    };
    (written == size_of::<u64>() as libc::c_long).then_some(bits)
}

/// The next number of a sequence whose start depends on this process.
fn fallback_random() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let start = auxv_random() ^ monotonic_ns().rotate_left(32) ^ (&raw const CALLS) as u64;
    splitmix64_finish(start.wrapping_add(call.wrapping_mul(STEP)))
}

/// The finalizer of the splitmix64 generator.
fn splitmix64_finish(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The random bytes that the kernel passed at process start, folded to 64 bits;
/// 0 if there are none.
fn auxv_random() -> u64 {
    // SAFETY: takes a number and reads the process's auxiliary vector.
    let bytes = unsafe { libc::getauxval(libc::AT_RANDOM) } as *const [u64; 2];
    if bytes.is_null() {
        return 0;
    }
    // SAFETY: the kernel put sixteen bytes there; they may be unaligned.
    let [low, high] = unsafe { bytes.read_unaligned() };
    low ^ high.rotate_left(17)
}

/// The monotonic clock in nanoseconds.
fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time to `now`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fallback_differs_from_call_to_call() {
        let first = fallback_random();
        assert_ne!(first, fallback_random());
        assert_ne!(auxv_random(), 0);
    }
}

//! Futexes: waiting for a word to change.

use super::errno::ErrnoGuard;
use core::ffi::{c_int, c_long};
use core::ptr;
use core::sync::atomic::AtomicU32;

/// Waits while `*word == expected`. Returns at once if the word differs;
/// spurious wakeups are possible.
pub fn futex_wait(word: &AtomicU32, expected: u32) {
    wait(word, expected, ptr::null());
}

/// Same as [`futex_wait`], but for at most `milliseconds`.
pub fn futex_wait_for(word: &AtomicU32, expected: u32, milliseconds: u32) {
    let limit = libc::timespec {
        tv_sec: (milliseconds / 1000).into(),
        tv_nsec: (milliseconds % 1000 * 1_000_000).into(),
    };
    wait(word, expected, &raw const limit);
}

/// Wakes at most `count` threads of this process that wait on `word`.
pub fn futex_wake(word: &AtomicU32, count: u32) {
    let _guard = ErrnoGuard::save();
    let count = c_int::try_from(count).unwrap_or(c_int::MAX);
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a wake only uses the address of the word as a key.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, c_long::from(count)) };
}

/// Waits once, without a timeout if `limit` is null.
fn wait(word: &AtomicU32, expected: u32, limit: *const libc::timespec) {
    let _guard = ErrnoGuard::save();
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word outlives the call, the kernel only reads it, and the
    // limit is null or points to a valid time.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, limit) };
}

//! Waiting for a word to change.

use super::errno::ErrnoGuard;
use core::ffi::{c_int, c_long};
use core::ptr;
use core::sync::atomic::AtomicU32;

/// Waits while `*word == expected`. May return early for no reason, and
/// returns at once when the word differs.
pub fn futex_wait(word: &AtomicU32, expected: u32) {
    wait(word, expected, ptr::null());
}

/// As [`futex_wait`], but for `milliseconds` at most.
pub fn futex_wait_for(word: &AtomicU32, expected: u32, milliseconds: u32) {
    let limit = libc::timespec {
        tv_sec: (milliseconds / 1000).into(),
        tv_nsec: (milliseconds % 1000 * 1_000_000).into(),
    };
    wait(word, expected, &raw const limit);
}

/// Wakes at most `count` of the threads of this process that wait for `word`.
pub fn futex_wake(word: &AtomicU32, count: u32) {
    let _guard = ErrnoGuard::save();
    let count = c_int::try_from(count).unwrap_or(c_int::MAX);
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a wake only takes the word's address as a name.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, c_long::from(count)) };
}

/// One wait; no limit where `limit` is null.
fn wait(word: &AtomicU32, expected: u32, limit: *const libc::timespec) {
    let _guard = ErrnoGuard::save();
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the word outlives the call, the kernel only reads it, and the
    // limit is null or a valid time.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, expected, limit) };
}

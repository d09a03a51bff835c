//! Futexes: waiting for a word to change.

use super::syscall::syscall;
use core::ffi::c_int;
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
    let count = c_int::try_from(count).unwrap_or(c_int::MAX);
    // SAFETY: a wake only uses the address of the word as a key.
    unsafe { futex(word, libc::FUTEX_WAKE, count as usize, ptr::null()) };
}

/// Waits once, without a timeout if `limit` is null.
fn wait(word: &AtomicU32, expected: u32, limit: *const libc::timespec) {
    // SAFETY: the word outlives the call, the kernel only reads it, and the
    // limit is null or points to a valid time.
    unsafe { futex(word, libc::FUTEX_WAIT, expected as usize, limit) };
}

/// One operation on a word that only this process uses. What it answers does not
/// matter: whoever waits looks at the word again.
///
/// # Safety
///
/// `limit` is null or points to a valid time.
unsafe fn futex(word: &AtomicU32, operation: c_int, value: usize, limit: *const libc::timespec) {
    let operation = (operation | libc::FUTEX_PRIVATE_FLAG) as usize;
    let args = [word.as_ptr().expose_provenance(), operation, value, limit.expose_provenance()];
    // SAFETY: by the caller.
    let _ = unsafe { syscall(libc::SYS_futex, args) };
}

//! Last words.

use super::errno::{ErrnoGuard, errno};
use core::ffi::c_long;

/// Writes `text` to standard error, as far as it can be written. No
/// cancellation point.
pub fn write_stderr(text: &[u8]) {
    let _guard = ErrnoGuard::save();
    let mut rest = text;
    while !rest.is_empty() {
        match write_some(rest) {
            Some(written) => rest = rest.get(written..).unwrap_or_default(),
            None => return,
        }
    }
}

/// Ends the process with `SIGABRT`.
pub fn abort() -> ! {
    // SAFETY: takes nothing; it does not return.
    unsafe { libc::abort() }
}

/// The bytes of `text` that one write took: 0 when a signal came first,
/// `None` when no more can be written.
fn write_some(text: &[u8]) -> Option<usize> {
    let stderr = c_long::from(libc::STDERR_FILENO);
    // SAFETY: the kernel reads at most the bytes of `text`.
    let written = unsafe { libc::syscall(libc::SYS_write, stderr, text.as_ptr(), text.len()) };
    match usize::try_from(written) {
        Ok(0) => None,
        Ok(written) => Some(written),
        Err(_) => (errno() == libc::EINTR).then_some(0),
    }
}

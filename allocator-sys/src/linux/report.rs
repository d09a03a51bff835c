//! Error output and abnormal termination.

use super::errno::{ErrnoGuard, errno};
use core::ffi::c_long;

/// Writes `text` to standard error, as far as possible. Not a cancellation
/// point.
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
    // SAFETY: takes no arguments and does not return.
    unsafe { libc::abort() }
}

/// Number of bytes that one write took: 0 if it was interrupted by a signal,
/// `None` if nothing more can be written.
fn write_some(text: &[u8]) -> Option<usize> {
    let stderr = c_long::from(libc::STDERR_FILENO);
    // SAFETY: the kernel reads at most `text.len()` bytes.
    let written = unsafe { libc::syscall(libc::SYS_write, stderr, text.as_ptr(), text.len()) };
    match usize::try_from(written) {
        Ok(0) => None,
        Ok(written) => Some(written),
        Err(_) => (errno() == libc::EINTR).then_some(0),
    }
}

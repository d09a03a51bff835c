//! The calling thread's `errno`, which belongs to the program and must be
//! preserved where a function of the C library is called. System calls of our
//! own (`syscall.rs`) do not touch it. And what error numbers are called.

use core::ffi::c_int;

/// Restores the saved `errno` when dropped.
pub(super) struct ErrnoGuard {
    found: c_int,
}

impl ErrnoGuard {
    /// Saves the current `errno`.
    pub(super) fn save() -> Self {
        Self { found: errno() }
    }
}

impl Drop for ErrnoGuard {
    fn drop(&mut self) {
        // SAFETY: the address is the calling thread's own `errno`, always
        // valid, and no other thread writes to it.
        unsafe { *libc::__errno_location() = self.found }
    }
}

/// The calling thread's `errno`.
fn errno() -> c_int {
    // SAFETY: as in `drop`.
    unsafe { *libc::__errno_location() }
}

/// What the C library calls an error that files have often, by its number. It is not asked, as it
/// may load texts in other languages.
#[must_use]
pub fn error_text(error: c_int) -> Option<&'static str> {
    Some(match error {
        libc::EACCES => "Permission denied",
        libc::EAGAIN => "Resource temporarily unavailable",
        libc::EISDIR => "Is a directory",
        libc::EMFILE => "Too many open files",
        libc::ENOENT => "No such file or directory",
        libc::ENOSPC => "No space left on device",
        libc::ENOTDIR => "Not a directory",
        libc::EROFS => "Read-only file system",
        libc::ESPIPE => "Not a file",
        _ => return None,
    })
}

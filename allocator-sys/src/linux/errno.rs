//! The calling thread's `errno`, which belongs to the program and not to us.

use core::ffi::c_int;

/// Puts `errno` back, when dropped, to what it was when this was made.
pub(super) struct ErrnoGuard {
    found: c_int,
}

impl ErrnoGuard {
    /// Notes `errno` as it is.
    pub(super) fn save() -> Self {
        Self { found: errno() }
    }
}

impl Drop for ErrnoGuard {
    fn drop(&mut self) {
        // SAFETY: the address is the calling thread's own `errno`, always
        // valid, and nobody else writes to it.
        unsafe { *libc::__errno_location() = self.found }
    }
}

/// The calling thread's `errno`.
pub(super) fn errno() -> c_int {
    // SAFETY: as in `drop`.
    unsafe { *libc::__errno_location() }
}

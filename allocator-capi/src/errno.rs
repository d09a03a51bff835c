//! The calling thread's `errno`, set where C requires it.

use core::ffi::{c_int, c_void};
use core::ptr;

/// Sets `errno`.
#[cold]
pub(crate) fn set(error: c_int) {
    // SAFETY: the address is the calling thread's own `errno`.
    unsafe { *libc::__errno_location() = error };
}

/// Sets `errno` to `ENOMEM` and returns null.
#[cold]
pub(crate) fn null_with_enomem() -> *mut c_void {
    set(libc::ENOMEM);
    ptr::null_mut()
}

/// Sets `errno` to `EINVAL` and returns null.
#[cold]
pub(crate) fn null_with_einval() -> *mut c_void {
    set(libc::EINVAL);
    ptr::null_mut()
}

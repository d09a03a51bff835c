//! The names under which glibc exports its own allocator a second time.
//! Programs that use those names must get this allocator too.

use core::ffi::c_void;

use crate::family;

/// See [`family::malloc`].
#[unsafe(no_mangle)]
pub extern "C" fn __libc_malloc(size: usize) -> *mut c_void {
    family::malloc(size)
}

/// See [`family::calloc`].
#[unsafe(no_mangle)]
pub extern "C" fn __libc_calloc(count: usize, size: usize) -> *mut c_void {
    family::calloc(count, size)
}

/// See [`family::realloc`].
///
/// # Safety
/// See [`family::realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller guarantees it.
    unsafe { family::own_realloc(ptr, size) }
}

/// See [`family::free`].
///
/// # Safety
/// See [`family::free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_free(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe { family::free(ptr) }
}

/// See [`family::memalign`].
#[unsafe(no_mangle)]
pub extern "C" fn __libc_memalign(align: usize, size: usize) -> *mut c_void {
    family::own_memalign(align, size)
}

/// See [`family::valloc`].
#[unsafe(no_mangle)]
pub extern "C" fn __libc_valloc(size: usize) -> *mut c_void {
    family::valloc(size)
}

/// See [`family::pvalloc`].
#[unsafe(no_mangle)]
pub extern "C" fn __libc_pvalloc(size: usize) -> *mut c_void {
    family::pvalloc(size)
}

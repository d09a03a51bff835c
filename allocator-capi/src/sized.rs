//! Sized deallocation, and size queries. The given size is checked, not
//! trusted: if the block cannot have been allocated with it, the process ends.

use core::ffi::{c_int, c_void};

use allocator_core::c_internals::{self, Kind};

use crate::foreign;
use crate::own;
use crate::system;

/// Frees a block that was allocated with `size` bytes. Null is ignored.
///
/// # Safety
/// The block must not be used afterwards.
#[inline(always)]
pub(crate) unsafe fn free(ptr: *mut c_void, size: usize) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::push_sized(ptr.cast(), size) {
            free_aligned(ptr, size, 1, Kind::Malloc);
        }
    }
}

/// Frees a block that was allocated with `size` bytes and `align`. Null is
/// ignored.
///
/// # Safety
/// The block must not be used afterwards.
#[inline(never)]
pub(crate) unsafe extern "C" fn free_aligned(
    ptr: *mut c_void,
    size: usize,
    align: usize,
    kind: Kind,
) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !ptr.is_null() && !own::free_sized(ptr.cast(), size, align, kind) {
            foreign::free(ptr);
        }
    }
}

/// Frees a block that was allocated with `size` bytes (C23). Null is ignored.
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(ptr: *mut c_void, size: usize) {
    // SAFETY: the caller guarantees it.
    unsafe { free(ptr, size) }
}

/// Frees a block that was allocated with `size` bytes and `align` (C23). Null
/// is ignored.
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(ptr: *mut c_void, align: usize, size: usize) {
    // SAFETY: the caller guarantees it.
    unsafe {
        free_aligned(ptr, size, align.checked_next_power_of_two().unwrap_or(align), Kind::Malloc)
    }
}

/// The alignment in jemalloc's flags: the low six bits are its logarithm.
fn align_from_flags(flags: c_int) -> usize {
    1 << (flags & 63)
}

/// Same as `free_aligned_sized`. The low six bits of `flags` are the logarithm
/// of the alignment; the other flags are ignored.
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdallocx(ptr: *mut c_void, size: usize, flags: c_int) {
    // SAFETY: the caller guarantees it.
    unsafe { free_aligned(ptr, size, align_from_flags(flags), Kind::Malloc) }
}

/// Returns the usable size of a block allocated for `size` bytes, with the
/// alignment whose logarithm is the low six bits of `flags`; 0 if `size` is too
/// large.
#[unsafe(no_mangle)]
pub extern "C" fn nallocx(size: usize, flags: c_int) -> usize {
    if system::is_on() {
        return size;
    }
    own::good_size(size, align_from_flags(flags)).unwrap_or(0)
}

//! Frees that name a size, and sizes before there is a block. The size is
//! checked, never believed: a block that cannot have been made for it ends
//! the process.

use core::ffi::{c_int, c_void};

use allocator_core::internals;

use crate::foreign;

/// Takes back a block that was made for `size` bytes; null is none.
///
/// # Safety
/// The block is not used any more.
#[inline(always)]
pub(crate) unsafe fn free(ptr: *mut c_void, size: usize) {
    // SAFETY: by the caller.
    unsafe {
        if !internals::push_sized(ptr.cast(), size) {
            free_aligned(ptr, size, 1);
        }
    }
}

/// Takes back a block that was made for `size` bytes and `align`; null is none.
///
/// # Safety
/// The block is not used any more.
#[inline(never)]
pub(crate) unsafe extern "C" fn free_aligned(ptr: *mut c_void, size: usize, align: usize) {
    // SAFETY: by the caller.
    unsafe {
        if !ptr.is_null() && !internals::free_sized(ptr.cast(), size, align) {
            foreign::free(ptr);
        }
    }
    // The C library, which calls under its locks, does not free this way.
    internals::check_excess(|| true);
}

/// Takes back a block that was asked for with `size` bytes (C23); null is none.
///
/// # Safety
/// The block is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(ptr: *mut c_void, size: usize) {
    // SAFETY: by the caller.
    unsafe { free(ptr, size) }
}

/// Takes back a block that was asked for with `size` bytes and `align` (C23);
/// null is none.
///
/// # Safety
/// The block is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(ptr: *mut c_void, align: usize, size: usize) {
    // SAFETY: by the caller.
    unsafe { free_aligned(ptr, size, align.checked_next_power_of_two().unwrap_or(align)) }
}

/// The alignment in jemalloc's flags: its logarithm in the low six bits.
fn align_from_flags(flags: c_int) -> usize {
    1 << (flags & 63)
}

/// As [`free_aligned_sized`], the alignment's logarithm being the low six bits
/// of `flags`; the other flags mean nothing here.
///
/// # Safety
/// The block is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sdallocx(ptr: *mut c_void, size: usize, flags: c_int) {
    // SAFETY: by the caller.
    unsafe { free_aligned(ptr, size, align_from_flags(flags)) }
}

/// Bytes that a block for `size` bytes has, aligned as the low six bits of
/// `flags` say; 0 if there is none so large.
#[unsafe(no_mangle)]
pub extern "C" fn nallocx(size: usize, flags: c_int) -> usize {
    internals::good_size(size, align_from_flags(flags)).unwrap_or(0)
}

//! The family of C's `malloc`. At the edges, glibc's behaviour: what programs
//! were written against.

use core::ffi::{c_int, c_void};
use core::ptr;

use allocator_core::internals;

use crate::callers;
use crate::errno;
use crate::foreign;
use crate::replaced;

/// Alignment of `valloc`'s blocks, and the unit of `pvalloc`.
fn page_size() -> usize {
    allocator_sys::page_size()
}

/// A block of `size` bytes. Null, with `ENOMEM`: there is no memory, or `size`
/// is above `PTRDIFF_MAX`. `malloc(0)` is a block of its own.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    let block = internals::pop(size);
    if !block.is_null() {
        return block.cast();
    }
    malloc_slow(size)
}

/// Goes on with the address that `malloc` returns to: `malloc` ends in a jump here.
#[cfg(target_arch = "x86_64")]
#[cold]
#[unsafe(naked)]
extern "C" fn malloc_slow(size: usize) -> *mut c_void {
    core::arch::naked_asm!("mov rsi, [rsp]", "jmp {malloc}", malloc = sym malloc_with_caller)
}

/// Goes on with the address that `malloc` returns to: `malloc` ends in a jump here.
#[cfg(target_arch = "aarch64")]
#[cold]
#[unsafe(naked)]
extern "C" fn malloc_slow(size: usize) -> *mut c_void {
    core::arch::naked_asm!("mov x1, x30", "b {malloc}", malloc = sym malloc_with_caller)
}

/// A block for whoever called from `caller`.
#[cold]
extern "C" fn malloc_with_caller(size: usize, caller: usize) -> *mut c_void {
    let block = alloc_aligned(size, 1);
    internals::check_excess(|| callers::is_program_code(caller));
    block
}

/// A block of `size` bytes, aligned to a power of two.
fn alloc_aligned(size: usize, align: usize) -> *mut c_void {
    replaced::detect();
    or_enomem(internals::alloc(size, align))
}

fn or_enomem(block: *mut u8) -> *mut c_void {
    if block.is_null() {
        return errno::null_with_enomem();
    }
    block.cast()
}

/// Takes back a block; null is none. `errno` stays.
///
/// # Safety
/// The block is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(ptr: *mut c_void) {
    // SAFETY: by the caller.
    unsafe {
        if !internals::push(ptr.cast()) {
            free_slow(ptr);
        }
    }
}

/// Goes on with the address that `free` returns to: `free` ends in a jump here.
#[cfg(target_arch = "x86_64")]
#[cold]
#[unsafe(naked)]
unsafe extern "C" fn free_slow(ptr: *mut c_void) {
    core::arch::naked_asm!("mov rsi, [rsp]", "jmp {free}", free = sym free_with_caller)
}

/// Goes on with the address that `free` returns to: `free` ends in a jump here.
#[cfg(target_arch = "aarch64")]
#[cold]
#[unsafe(naked)]
unsafe extern "C" fn free_slow(ptr: *mut c_void) {
    core::arch::naked_asm!("mov x1, x30", "b {free}", free = sym free_with_caller)
}

/// Takes back a block for whoever called from `caller`: as a rule one of
/// another thread's.
#[cold]
unsafe extern "C" fn free_with_caller(ptr: *mut c_void, caller: usize) {
    // SAFETY: by the caller.
    unsafe {
        if !internals::buffer_remote(ptr.cast()) {
            free_to_core(ptr, caller);
        }
    }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn free_to_core(ptr: *mut c_void, caller: usize) {
    // SAFETY: by the caller.
    unsafe {
        if !ptr.is_null() && !internals::free(ptr.cast()) {
            foreign::free(ptr);
        }
    }
    internals::check_excess(|| callers::is_program_code(caller));
}

/// A block for `count` elements of `size` bytes, all zero. Null, with
/// `ENOMEM`, as for [`malloc`], and where the product does not fit.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return errno::null_with_enomem() };
    let block = internals::pop(bytes);
    if block.is_null() {
        replaced::detect();
        return or_enomem(internals::alloc_zeroed(bytes));
    }
    // SAFETY: the block has so many bytes.
    unsafe { block.write_bytes(0, bytes) };
    block.cast()
}

/// Makes a block one of `size` bytes, elsewhere perhaps. `realloc(p, 0)` frees
/// it and returns null; `realloc(NULL, size)` is [`malloc`]. Null, with
/// `ENOMEM`: the block is as it was.
///
/// # Safety
/// The block is the caller's, who uses what is returned from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    if ptr.is_null() {
        return malloc(size);
    }
    // SAFETY: by the caller.
    unsafe {
        if size == 0 {
            free(ptr);
            return ptr::null_mut();
        }
        match internals::realloc(ptr.cast(), size) {
            Some(block) => or_enomem(block),
            None => foreign::realloc(ptr, size),
        }
    }
}

/// As [`realloc`], for `count` elements of `size` bytes.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: by the caller.
        Some(bytes) => unsafe { realloc(ptr, bytes) },
        None => errno::null_with_enomem(),
    }
}

/// Puts a block of `size` bytes, aligned to `align`, into `*out`. Returns
/// `EINVAL` for an alignment that is not a power of two or not a multiple of
/// a pointer's size, `ENOMEM` where there is no memory; then `*out` stays.
/// `errno` stays.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    replaced::detect();
    let block = internals::alloc(size, align);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: by the caller.
    unsafe { out.write(block.cast()) };
    0
}

/// A block of `size` bytes, aligned to `align`, or to the next power of two.
/// Null, with `EINVAL` where there is none, and as for [`malloc`].
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => alloc_aligned(size, align),
        None => errno::null_with_einval(),
    }
}

/// As [`memalign`].
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    memalign(align, size)
}

/// A block of `size` bytes, aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    alloc_aligned(size, page_size())
}

/// A block of whole pages for `size` bytes, aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.checked_next_multiple_of(page_size()) {
        Some(size) => alloc_aligned(size, page_size()),
        None => errno::null_with_enomem(),
    }
}

/// Bytes that may be used of a block; 0 for null.
///
/// # Safety
/// The block is the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(ptr: *mut c_void) -> usize {
    if ptr.is_null() {
        return 0;
    }
    // SAFETY: by the caller.
    internals::usable(ptr.cast()).unwrap_or_else(|| unsafe { foreign::usable(ptr) })
}

/// Bytes that a block for `size` bytes has; 0 if there is none so large.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_good_size(size: usize) -> usize {
    internals::good_size(size, 1).unwrap_or(0)
}

/// As [`free`].
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(ptr: *mut c_void) {
    // SAFETY: by the caller.
    unsafe { free(ptr) }
}

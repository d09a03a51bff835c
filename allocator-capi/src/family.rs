//! C's `malloc` family. Edge cases follow glibc, which programs were written
//! against.

use core::ffi::{c_int, c_void};
use core::mem;
use core::ptr;

use allocator_core::c_internals::{self, Kind};

use crate::errno;
use crate::foreign;
use crate::own;
use crate::symbol_lookup;
use crate::system::{self, Server};

/// Alignment of `valloc`'s blocks, and the granularity of `pvalloc`.
fn page_size() -> usize {
    allocator_sys::page_size()
}

/// Allocates `size` bytes. Returns null and sets `ENOMEM` if memory is
/// exhausted or `size` exceeds `PTRDIFF_MAX`. `malloc(0)` returns a unique
/// block.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    match c_internals::pop(size) {
        Some(block) => block.cast(),
        None => malloc_slow(size),
    }
}

#[cold]
#[inline(never)]
extern "C" fn malloc_slow(size: usize) -> *mut c_void {
    alloc_aligned(size, 1)
}

/// Allocates `size` bytes, aligned to a power of two.
fn alloc_aligned(size: usize, align: usize) -> *mut c_void {
    match system::server() {
        Server::Own(mode) => or_enomem(own::alloc(mode, size, align, Kind::Malloc)),
        Server::System => system::alloc(size, align),
    }
}

fn or_enomem(block: *mut u8) -> *mut c_void {
    if block.is_null() {
        return errno::null_with_enomem();
    }
    block.cast()
}

/// Frees a block. Null is ignored. `errno` is preserved.
///
/// # Safety
/// The block must not be used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::push(ptr.cast()) {
            free_slow(ptr);
        }
    }
}

/// Frees a block that usually belongs to another thread.
#[cold]
#[inline(never)]
unsafe extern "C" fn free_slow(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !c_internals::buffer_remote(ptr.cast()) {
            free_to_core(ptr);
        }
    }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn free_to_core(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe {
        if !ptr.is_null() && !own::free(ptr.cast(), Kind::Malloc) {
            foreign::free(ptr);
        }
    }
}

/// Allocates `count` elements of `size` bytes, all zero. Returns null and sets
/// `ENOMEM` in the cases of [`malloc`], and if the product overflows.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return errno::null_with_enomem() };
    let Some(block) = c_internals::pop(bytes) else { return calloc_slow(bytes) };
    // SAFETY: the block has at least this many bytes.
    unsafe { block.write_bytes(0, bytes) };
    block.cast()
}

#[cold]
#[inline(never)]
extern "C" fn calloc_slow(bytes: usize) -> *mut c_void {
    match system::server() {
        Server::Own(mode) => or_enomem(own::alloc_zeroed(mode, bytes)),
        Server::System => system::calloc(bytes, 1),
    }
}

/// Resizes a block to `size` bytes, possibly moving it. `realloc(p, 0)` frees
/// the block and returns null; `realloc(NULL, size)` is [`malloc`]. On failure,
/// returns null, sets `ENOMEM` and leaves the block unchanged.
///
/// # Safety
/// The caller owns the block and uses only the returned pointer afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller guarantees it.
    unsafe { own_realloc(ptr, size) }
}

/// This library's `realloc`, even if another library in front of it defines
/// one.
///
/// # Safety
/// See [`realloc`].
pub(crate) unsafe fn own_realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    if ptr.is_null() {
        return malloc(size);
    }
    // SAFETY: the caller guarantees it.
    unsafe {
        if size == 0 {
            free(ptr);
            return ptr::null_mut();
        }
        let resized = match system::server() {
            Server::Own(mode) => own::realloc(mode, ptr.cast(), size),
            Server::System => return system::realloc(ptr, size),
        };
        match resized {
            Some(block) => or_enomem(block),
            None => foreign::realloc(ptr, size),
        }
    }
}

/// Same as [`realloc`], for `count` elements of `size` bytes. As in glibc, it
/// calls the process's `realloc`: a library in front of this one may define that
/// and `free`, but not this function.
///
/// # Safety
/// See [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void {
    type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
    let Some(bytes) = count.checked_mul(size) else { return errno::null_with_enomem() };
    let realloc = symbol_lookup::global_address!("realloc");
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Realloc>(realloc)(ptr, bytes) }
}

/// Allocates `size` bytes, aligned to `align`, and stores the pointer in
/// `*out`. Returns `EINVAL` if the alignment is not a power of two or not a
/// multiple of a pointer's size, and `ENOMEM` if memory is exhausted; `*out` is
/// unchanged then. `errno` is preserved.
///
/// # Safety
/// `out` must be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    let block = match system::server() {
        Server::Own(mode) => own::alloc(mode, size, align, Kind::Malloc),
        // SAFETY: the caller guarantees it.
        Server::System => return unsafe { system::posix_memalign(out, align, size) },
    };
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller guarantees it.
    unsafe { out.write(block.cast()) };
    0
}

/// Allocates `size` bytes, aligned to `align` rounded up to a power of two.
/// Returns null and sets `EINVAL` if there is no such power of two, and fails
/// as [`malloc`] does otherwise.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    own_memalign(align, size)
}

/// This library's `memalign`, even if another library in front of it defines
/// one.
pub(crate) fn own_memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => alloc_aligned(size, align),
        None => errno::null_with_einval(),
    }
}

/// Allocates `size` bytes, aligned to `align`. Returns null and sets `EINVAL` if the
/// alignment is not a power of two, and fails as [`malloc`] does otherwise.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        return errno::null_with_einval();
    }
    alloc_aligned(size, align)
}

/// Allocates `size` bytes, aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    alloc_aligned(size, page_size())
}

/// Allocates `size` bytes rounded up to whole pages, aligned to a page. It calls
/// the process's `memalign`: tools that wrap that, or put one of theirs in its
/// place, forget this function.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    type Memalign = extern "C" fn(usize, usize) -> *mut c_void;
    let page = page_size();
    let Some(bytes) = size.checked_next_multiple_of(page) else {
        return errno::null_with_enomem();
    };
    let memalign = symbol_lookup::global_address!("memalign");
    // SAFETY: it is the function of that name.
    unsafe { mem::transmute::<*const c_void, Memalign>(memalign)(page, bytes) }
}

/// Returns the usable size of a block; 0 for null.
///
/// # Safety
/// The caller owns the block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(ptr: *mut c_void) -> usize {
    if ptr.is_null() {
        return 0;
    }
    // SAFETY: the caller guarantees it.
    own::usable(ptr.cast()).unwrap_or_else(|| unsafe { foreign::usable_size(ptr) })
}

/// Returns the usable size of a block allocated for `size` bytes; 0 if `size`
/// is too large.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_good_size(size: usize) -> usize {
    if system::is_on() {
        return size;
    }
    own::good_size(size, 1).unwrap_or(0)
}

/// Same as `free`.
///
/// # Safety
/// See `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(ptr: *mut c_void) {
    // SAFETY: the caller guarantees it.
    unsafe { free(ptr) }
}

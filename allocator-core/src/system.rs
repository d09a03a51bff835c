//! What `Strata` passes requests to with the feature `system`: the C library's
//! allocator, for tools that look at the blocks of a program and know that one. The
//! functions are those of `alloc.rs`, `free.rs` and `realloc.rs`.

use core::ffi::{c_int, c_void};
use core::ptr;

use crate::process::config::Config;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn calloc(count: usize, size: usize) -> *mut c_void;
    #[link_name = "realloc"]
    fn resize(ptr: *mut c_void, size: usize) -> *mut c_void;
    #[link_name = "free"]
    fn release(ptr: *mut c_void);
    fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int;
}

/// What `malloc` aligns to, for sizes of at least this.
const ANY_ALIGN: usize = 16;

fn is_aligned_anyway(size: usize, align: usize) -> bool {
    align <= ANY_ALIGN && align <= size
}

/// A block for a layout; null if there is no memory.
///
/// # Safety
/// The layout is valid.
pub(crate) unsafe fn alloc(size: usize, align: usize, _config: &Config) -> *mut u8 {
    if is_aligned_anyway(size, align) {
        // SAFETY: takes a number.
        return unsafe { malloc(size) }.cast();
    }
    let mut block = ptr::null_mut();
    // SAFETY: the alignment is a power of two, by the caller, and large enough.
    let error = unsafe { posix_memalign(&raw mut block, align.max(size_of::<usize>()), size) };
    if error == 0 { block.cast() } else { ptr::null_mut() }
}

/// Like [`alloc`], all zero.
///
/// # Safety
/// As for [`alloc`].
pub(crate) unsafe fn alloc_zeroed(size: usize, align: usize, config: &Config) -> *mut u8 {
    // SAFETY: by the caller; a block has `size` bytes.
    unsafe {
        if is_aligned_anyway(size, align) {
            return calloc(size, 1).cast();
        }
        let block = alloc(size, align, config);
        if !block.is_null() {
            block.write_bytes(0, size);
        }
        block
    }
}

/// Changes the size of a block. Null if there is no memory; then the block is
/// unchanged.
///
/// # Safety
/// The block was made with `old` and `align`; `new` is not 0 and does not wrap when
/// rounded up to `align`.
pub(crate) unsafe fn realloc(block: *mut u8, old: usize, align: usize, new: usize) -> *mut u8 {
    // SAFETY: by the caller; both blocks hold the bytes that are copied.
    unsafe {
        if is_aligned_anyway(new, align) {
            return resize(block.cast(), new).cast();
        }
        let to = alloc(new, align, Config::PLAIN);
        if !to.is_null() {
            ptr::copy_nonoverlapping(block, to, old.min(new));
            release(block.cast());
        }
        to
    }
}

/// Frees a block.
///
/// # Safety
/// The block was made here and is no longer used.
pub(crate) unsafe fn free(block: *mut u8, _size: usize, _align: usize) {
    // SAFETY: by the caller.
    unsafe { release(block.cast()) }
}

//! What `Strata` passes requests to with the feature `hardened`. The functions are those of
//! `alloc.rs`, `free.rs` and `realloc.rs`.

use crate::hardened::blocks::{self, Kind, Mode, Said};
use crate::process::config::Config;
use crate::process::init;

/// A block for a layout, all zero; null if there is no memory.
///
/// # Safety
/// The layout is valid.
pub(crate) unsafe fn alloc(size: usize, align: usize, config: &Config) -> *mut u8 {
    if !init::ensure(config) {
        return core::ptr::null_mut();
    }
    blocks::alloc(size, align, Kind::Malloc, Mode::Hardened)
}

/// Like [`alloc`], which zeroes all blocks.
///
/// # Safety
/// As for [`alloc`].
pub(crate) unsafe fn alloc_zeroed(size: usize, align: usize, config: &Config) -> *mut u8 {
    // SAFETY: by the caller.
    unsafe { alloc(size, align, config) }
}

fn said(size: usize, align: usize) -> Said {
    Said { kind: Kind::Malloc, size: Some(size), align: Some(align) }
}

/// Changes the size of a block. Null if there is no memory; then the block is unchanged.
///
/// # Safety
/// The block was made with `old` and `align`; `new` is not 0 and does not wrap when rounded up
/// to `align`.
pub(crate) unsafe fn realloc(ptr: *mut u8, old: usize, align: usize, new: usize) -> *mut u8 {
    // SAFETY: by the caller.
    match unsafe { blocks::realloc(ptr, align, new, said(old, align), Mode::Hardened) } {
        Some(block) => block,
        None => blocks::refuse(ptr, old),
    }
}

/// Frees a block.
///
/// # Safety
/// The block was made with this layout and is no longer used.
pub(crate) unsafe fn free(ptr: *mut u8, size: usize, align: usize) {
    if !blocks::free(ptr, said(size, align), Mode::Hardened) {
        blocks::refuse(ptr, size);
    }
}

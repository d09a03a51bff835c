//! Requests that this library serves itself: as usual, or in hardened mode.

use allocator_core::c_internals::{self, Kind, Mode, Said, hardened};

use crate::system::{self, Server};

/// The mode, as far as it is known. Blocks from before that are made in hardened mode, which
/// needs no cache; frees of them need none, either.
fn mode() -> Option<Mode> {
    match system::server() {
        Server::Own(mode) => mode,
        Server::System => None,
    }
}

/// A block; null if there is no memory.
#[inline]
pub(crate) fn alloc(mode: Option<Mode>, size: usize, align: usize, kind: Kind) -> *mut u8 {
    match mode {
        None => c_internals::alloc(size, align),
        Some(mode) => hardened::alloc(size, align, kind, mode),
    }
}

/// Like [`alloc`], all zero.
#[inline]
pub(crate) fn alloc_zeroed(mode: Option<Mode>, size: usize) -> *mut u8 {
    match mode {
        None => c_internals::alloc_zeroed(size),
        Some(mode) => hardened::alloc(size, 1, Kind::Malloc, mode),
    }
}

/// Changes the size of a block. `None` if it is not ours.
///
/// # Safety
/// See `realloc`.
#[inline]
pub(crate) unsafe fn realloc(mode: Option<Mode>, ptr: *mut u8, size: usize) -> Option<*mut u8> {
    // SAFETY: the caller guarantees it.
    unsafe {
        match mode {
            None => c_internals::realloc(ptr, size),
            Some(mode) => hardened::realloc(ptr, size, mode),
        }
    }
}

/// Frees a block that the fast paths did not take. False if it is not ours.
///
/// # Safety
/// The block must not be used afterwards.
pub(crate) unsafe fn free(ptr: *mut u8, kind: Kind) -> bool {
    // SAFETY: the caller guarantees it.
    unsafe {
        match mode() {
            None => c_internals::free(ptr),
            Some(mode) => hardened::free(ptr, Said { kind, size: None, align: None }, mode),
        }
    }
}

/// Like [`free`], for a block that was made with this size and alignment.
///
/// # Safety
/// The block must not be used afterwards.
pub(crate) unsafe fn free_sized(ptr: *mut u8, size: usize, align: usize, kind: Kind) -> bool {
    // SAFETY: the caller guarantees it.
    unsafe {
        match mode() {
            None => c_internals::free_sized(ptr, size, align),
            Some(mode) => {
                let align = (align > 1).then_some(align);
                hardened::free(ptr, Said { kind, size: Some(size), align }, mode)
            }
        }
    }
}

/// Bytes of a block that may be used. `None` if it is not ours.
pub(crate) fn usable(ptr: *mut u8) -> Option<usize> {
    match mode() {
        None => c_internals::usable(ptr),
        Some(_) => hardened::usable(ptr),
    }
}

/// Bytes of a block for a request; `None` if no block is so large.
pub(crate) fn good_size(size: usize, align: usize) -> Option<usize> {
    match mode() {
        None if !c_internals::guards_are_on() => c_internals::good_size(size, align),
        _ => c_internals::good_size(size, align).map(|_| size),
    }
}

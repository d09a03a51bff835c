//! An owned block of a size known at run time.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

const ALIGN: usize = 8;

/// A heap block whose first word holds its size; dropping it frees it.
pub(crate) struct Block {
    ptr: NonNull<u8>,
    size: usize,
}

// SAFETY: a block is plain memory with one owner.
unsafe impl Send for Block {}

impl Block {
    /// Allocates `size` bytes, at least 8, and writes the first word.
    #[inline(always)]
    pub(crate) fn new(size: usize) -> Block {
        debug_assert!(size >= 8);
        // SAFETY: the alignment is a power of two, and no size used here is
        // near `isize::MAX`.
        let layout = unsafe { Layout::from_size_align_unchecked(size, ALIGN) };
        // SAFETY: the size is not zero.
        let Some(ptr) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the block has at least 8 bytes and their alignment.
        unsafe { ptr.cast::<u64>().write(size as u64) };
        Block { ptr, size }
    }

    /// Writes one byte on each page of the block except the first.
    pub(crate) fn touch(&mut self) {
        for offset in (4096..self.size).step_by(4096) {
            // SAFETY: `offset` is within the block.
            unsafe { self.ptr.add(offset).write_volatile(1) };
        }
    }

    /// Converts the block to a raw pointer.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> *mut u8 {
        let ptr = self.ptr.as_ptr();
        std::mem::forget(self);
        ptr
    }

    /// Converts a raw pointer back to a block.
    ///
    /// # Safety
    ///
    /// `ptr` comes from [`Block::into_raw`] and is converted back once. Its
    /// first word has not been changed.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut u8) -> Block {
        // SAFETY: the caller guarantees a pointer to a live block, never null,
        // and its first word is its size.
        unsafe {
            let ptr = NonNull::new_unchecked(ptr);
            Block { ptr, size: ptr.cast::<u64>().read() as usize }
        }
    }
}

impl Drop for Block {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, freed once.
        unsafe {
            dealloc(self.ptr.as_ptr(), Layout::from_size_align_unchecked(self.size, ALIGN));
        }
    }
}

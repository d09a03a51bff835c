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
        // SAFETY: the alignment is a power of two, and no size used here comes
        // near `isize::MAX`.
        let layout = unsafe { Layout::from_size_align_unchecked(size, ALIGN) };
        // SAFETY: the size is not zero.
        let Some(ptr) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the block has at least 8 bytes and their alignment.
        unsafe { ptr.cast::<u64>().write(size as u64) };
        Block { ptr, size }
    }

    /// Writes one byte on each page of the block but the first.
    pub(crate) fn touch(&mut self) {
        for offset in (4096..self.size).step_by(4096) {
            // SAFETY: `offset` lies within the block.
            unsafe { self.ptr.add(offset).write_volatile(1) };
        }
    }

    /// Gives the block up as a bare pointer.
    #[inline(always)]
    pub(crate) fn into_raw(self) -> *mut u8 {
        let ptr = self.ptr.as_ptr();
        std::mem::forget(self);
        ptr
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `ptr` comes from [`Block::into_raw`], which happened before, and is
    /// taken back once. Its first word has not been changed.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(ptr: *mut u8) -> Block {
        // SAFETY: by the contract the pointer is a live block, never null, and
        // its first word is its size.
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

//! Blocks, and a table to keep them in that is not allocated with the allocator
//! under test.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

/// A block of the program's allocator with every byte written. Its first word
/// holds its size.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Block(NonNull<u64>);

// SAFETY: a block is plain memory with one owner.
unsafe impl Send for Block {}

/// At least a word.
fn layout(size: usize) -> Layout {
    debug_assert!(size >= size_of::<u64>());
    Layout::from_size_align(size, align_of::<u64>()).expect("a valid size")
}

/// Allocates without writing.
fn fresh(layout: Layout) -> NonNull<u8> {
    // SAFETY: not of size zero. The compiler may remove a pair of calls, but
    // not if it cannot tell where the pointer goes.
    let start = black_box(unsafe { alloc(layout) });
    NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Block {
    pub(crate) fn new(size: usize) -> Block {
        let start = fresh(layout(size));
        // SAFETY: a new block of this size, at least a word long and aligned to
        // one.
        unsafe {
            start.write_bytes(1, size);
            start.cast::<u64>().write(size as u64);
        }
        Block(start.cast())
    }

    /// Allocates a block that is never written to and never freed.
    pub(crate) fn untouched(size: usize) {
        fresh(layout(size));
    }

    /// The size that was asked for.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: the first word was written when it was allocated.
        unsafe { self.0.read() as usize }
    }

    /// Converts the block to a raw pointer, which then owns it.
    pub(crate) fn into_raw(self) -> *mut u64 {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    ///
    /// `start` comes from [`Block::into_raw`], or is null, and is converted back
    /// once.
    pub(crate) unsafe fn from_raw(start: *mut u64) -> Option<Block> {
        NonNull::new(start).map(Block)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let layout = layout(self.size());
        // SAFETY: its layout; dropped once.
        unsafe { dealloc(self.0.as_ptr().cast(), layout) }
    }
}

/// A table of blocks in a mapping of its own. Blocks that are left in it stay
/// live.
pub(crate) struct Places {
    start: NonNull<Option<Block>>,
    count: usize,
}

impl Places {
    /// A table for this many blocks, all entries empty.
    pub(crate) fn new(count: usize) -> Places {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let bytes = count * size_of::<Option<Block>>();
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED, "no memory for {count} places");
        let start = NonNull::new(start.cast()).expect("a mapping is not at address 0");
        Places { start, count }
    }

    /// Resident bytes of a table for this many blocks once all entries have
    /// been written.
    pub(crate) fn bytes(count: usize) -> u64 {
        ((count * size_of::<Option<Block>>()) as u64).next_multiple_of(4096)
    }
}

impl Deref for Places {
    type Target = [Option<Block>];

    fn deref(&self) -> &[Option<Block>] {
        // SAFETY: our own mapping. It is zero-initialized, which is `None`: a
        // block is a non-null pointer.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl DerefMut for Places {
    fn deref_mut(&mut self) -> &mut [Option<Block>] {
        // SAFETY: as above, with exclusive access.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let bytes = self.count * size_of::<Option<Block>>();
        // SAFETY: our own mapping, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_begin_empty_and_are_filled_and_emptied() {
        let mut places = Places::new(1000);
        assert!(places.iter().all(Option::is_none));
        assert_eq!(Places::bytes(1000), 8192);
        places.fill_with(|| Some(Block::new(40)));
        assert!(places.iter().all(Option::is_some));
        places[..999].fill_with(|| None);
        assert_eq!(places.iter().flatten().count(), 1);
        places[999] = None;
    }

    #[test]
    fn a_block_holds_its_size_and_ones() {
        let start = Block::new(20).into_raw();
        // SAFETY: twenty bytes of a live block.
        let bytes = unsafe { slice::from_raw_parts(start.cast::<u8>(), 20) };
        assert_eq!(bytes[..8], 20_u64.to_ne_bytes());
        assert_eq!(bytes[8..], [1; 12]);
        // SAFETY: from above, once.
        assert!(unsafe { Block::from_raw(start) }.is_some());
        // SAFETY: null.
        assert!(unsafe { Block::from_raw(ptr::null_mut()) }.is_none());
    }
}

//! A block from the C library's functions, marked so that it can be identified.

use std::ffi::c_void;
use std::hint::black_box;
use std::mem;
use std::ptr::NonNull;

use super::parts::fold;

const PAGE: usize = 4096;
const WORD: usize = size_of::<u64>();

/// A block of at least eight bytes, freed when it is dropped. Its first word
/// and its last byte hold a stamp, and each page has been written to.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: a block is plain memory with one owner.
unsafe impl Send for Block {}

impl Block {
    /// Allocated with `malloc`.
    #[inline]
    pub(crate) fn new(size: usize, stamp: u64) -> Block {
        // SAFETY: any size is allowed.
        let mut block = Block::own(unsafe { libc::malloc(size) }, size);
        block.mark(stamp);
        block
    }

    /// Allocated with `calloc`; it must read as zero.
    pub(crate) fn zeroed(size: usize, stamp: u64) -> Block {
        // SAFETY: any size is allowed.
        let mut block = Block::own(unsafe { libc::calloc(1, size) }, size);
        // SAFETY: at least a word long; `calloc` has written all of it.
        let dirt = unsafe { block.word(0) | u64::from(block.last()) };
        assert_eq!(dirt, 0, "calloc returned {size} bytes that are not zero");
        block.mark(stamp);
        block
    }

    /// Allocated with `malloc`, with every word written. [`Block::sum_all`]
    /// reads them back.
    pub(crate) fn filled(size: usize, stamp: u64) -> Block {
        let block = Block::new(size, stamp);
        for n in 0..size / WORD {
            // SAFETY: the word is within the block.
            unsafe { block.start.cast::<u64>().add(n).write(stamp.wrapping_add(n as u64)) };
        }
        block
    }

    /// Resized with `realloc`, keeping its stamp.
    pub(crate) fn resized(self, size: usize) -> Block {
        let stamp = self.stamp();
        let mut block = self.moved(size);
        block.mark(stamp);
        block
    }

    /// Made larger with `realloc`; only the pages that this added are written.
    pub(crate) fn grown(self, size: usize) -> Block {
        let before = self.size;
        let mut block = self.moved(size);
        block.touch(before.next_multiple_of(PAGE));
        block
    }

    /// What `realloc` returns for it.
    fn moved(self, size: usize) -> Block {
        let (start, stamp) = (self.start.as_ptr(), self.stamp());
        mem::forget(self);
        // SAFETY: a live block, given up above.
        let block = Block::own(unsafe { libc::realloc(start.cast(), size) }, size);
        assert_eq!(block.stamp(), stamp, "realloc did not keep the first word");
        block
    }

    #[inline]
    fn own(start: *mut c_void, size: usize) -> Block {
        debug_assert!(size >= WORD);
        // The compiler knows `malloc` and `free` and may remove both, but not
        // if it cannot tell which pointer is freed.
        let Some(start) = NonNull::new(black_box(start)) else {
            eprintln!("no memory for {size} bytes");
            std::process::abort();
        };
        Block { start: start.cast(), size }
    }

    #[inline]
    fn mark(&mut self, stamp: u64) {
        // SAFETY: at least a word long, and aligned to one.
        unsafe { self.start.cast::<u64>().write(stamp) };
        self.touch(PAGE);
    }

    /// Writes each page from this offset on, and the last byte, unless that is
    /// in the first word.
    #[inline]
    fn touch(&mut self, from: usize) {
        let stamp = self.stamp();
        // SAFETY: offsets are less than the size.
        unsafe {
            for offset in (from..self.size).step_by(PAGE) {
                self.start.add(offset).write(1);
            }
            if self.size > WORD {
                self.start.add(self.size - 1).write(stamp as u8);
            }
        }
    }

    /// # Safety
    ///
    /// The block has a word `n`, which has been written.
    #[inline]
    unsafe fn word(&self, n: usize) -> u64 {
        // SAFETY: the caller guarantees it.
        unsafe { self.start.cast::<u64>().add(n).read() }
    }

    #[inline]
    fn last(&self) -> u8 {
        // SAFETY: within the block; written when it was allocated.
        unsafe { self.start.add(self.size - 1).read() }
    }

    /// The first word.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        // SAFETY: at least a word long, which was written when it was
        // allocated.
        unsafe { self.word(0) }
    }

    /// Increments the first word.
    #[inline]
    pub(crate) fn bump(&mut self) {
        let word = self.start.cast::<u64>();
        // SAFETY: at least a word long, written, and exclusively owned.
        // Volatile, so that every write is performed.
        unsafe { word.write_volatile(word.read_volatile().wrapping_add(1)) };
    }

    /// A checksum of the block's size and its marks.
    #[inline]
    pub(crate) fn sum(&self) -> u64 {
        fold(fold(self.stamp(), u64::from(self.last())), self.size as u64)
    }

    /// A checksum of a block from [`Block::filled`], including all its words.
    pub(crate) fn sum_all(&self) -> u64 {
        // SAFETY: `filled` has written these words.
        let words = (0..self.size / WORD).map(|n| unsafe { self.word(n) });
        fold(self.sum(), words.fold(0, u64::wrapping_add))
    }
}

impl Drop for Block {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a live block, dropped once.
        unsafe { libc::free(self.start.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_knows_the_stamp_the_size_and_each_word() {
        let sum = Block::new(100, 7).sum();
        assert_eq!(Block::new(100, 7).sum(), sum);
        assert_eq!(Block::zeroed(100, 7).sum(), sum);
        assert_eq!(Block::new(5000, 7).resized(100).sum(), sum);
        assert_eq!(Block::new(20, 7).grown(100).sum(), sum);
        assert_ne!(Block::new(101, 7).sum(), sum);
        assert_ne!(Block::new(100, 8).sum(), sum);
        let block = Block::filled(100, 7);
        let all = block.sum_all();
        // SAFETY: within the block.
        unsafe { block.start.add(50).write(99) };
        assert_ne!(block.sum_all(), all);
    }

    #[test]
    fn the_smallest_block_has_a_word_alone() {
        let mut block = Block::new(8, 0x0102);
        block.bump();
        assert_eq!(block.stamp(), 0x0103);
        assert_eq!(block.sum(), Block::new(8, 0x0103).sum());
    }
}

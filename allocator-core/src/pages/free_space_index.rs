//! Which chunks of an arena have room: hints, one bit a chunk, for runs of 1,
//! 2, 4 and 8 granules; found lowest first, which keeps the heap dense.
//!
//! A bit may be set where there is no room; it is cleared by whoever finds
//! that out, who then looks once more. It is never clear for long where there
//! is room: a giver sets the mask, then the bit; a clearer clears the bit,
//! then reads the mask; both by read-modify-writes on the bit.

use core::ptr::{self, NonNull};

use crate::base::bits;
use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicU64};
use crate::spans::granules::Granules;

/// Lengths of runs: 1 << 0 to 1 << 3.
const LENGTHS: usize = 4;

pub(crate) struct FreeSpaceIndex {
    /// `[chunks / 64][LENGTHS]`, one bit a chunk.
    words: AtomicPtr<AtomicU64>,
    /// `[chunks / 4096][LENGTHS]`, one bit a word above that is not zero.
    tops: AtomicPtr<AtomicU64>,
}

/// Bytes of the hints for a window of `chunks`.
pub(crate) const fn table_bytes(chunks: usize) -> usize {
    (chunks.div_ceil(64) + chunks.div_ceil(4096)) * LENGTHS * size_of::<u64>()
}

impl FreeSpaceIndex {
    #[cfg(not(strata_loom))]
    pub(crate) const fn new() -> Self {
        FreeSpaceIndex {
            words: AtomicPtr::new(ptr::null_mut()),
            tops: AtomicPtr::new(ptr::null_mut()),
        }
    }

    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        FreeSpaceIndex {
            words: AtomicPtr::new(ptr::null_mut()),
            tops: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Says where the hints are (all zero), once, while nobody else runs.
    pub(crate) fn init_tables(&self, table: NonNull<u8>, chunks: usize) {
        let words = table.as_ptr().cast::<AtomicU64>();
        self.words.store(words, ordering::index_place());
        self.tops.store(words.wrapping_add(chunks.div_ceil(64) * LENGTHS), ordering::index_place());
    }

    fn word(&self, i: usize, log: usize) -> &AtomicU64 {
        // SAFETY: [INDEX-COVERS] the table covers every chunk of the window.
        unsafe { &*self.words.load(ordering::index_place()).add(i * LENGTHS + log) }
    }

    fn top(&self, i: usize, log: usize) -> &AtomicU64 {
        // SAFETY: [INDEX-COVERS]
        unsafe { &*self.tops.load(ordering::index_place()).add(i * LENGTHS + log) }
    }

    /// Claims a run of `len` granules in the lowest chunk below `end` that has
    /// one. Returns the chunk, the first granule, and which held memory.
    pub(crate) fn claim<'a>(
        &self,
        len: usize,
        end: usize,
        granules: impl Fn(usize) -> &'a Granules,
    ) -> Option<(usize, usize, u64)> {
        let log = len.trailing_zeros() as usize;
        while let Some(chunk) = self.find(log, end) {
            if let Some((first, dirty)) = granules(chunk).claim(len) {
                return Some((chunk, first, dirty));
            }
            self.clear(chunk, log, granules(chunk));
        }
        None
    }

    /// Gives claimed granules of a chunk back; `dirty` are those with memory.
    pub(crate) fn give_back(&self, chunk: usize, granules: &Granules, bits: u64, dirty: u64) {
        self.mark(chunk, granules.give_back(bits, dirty));
    }

    /// Notes what a chunk with these granules free has room for.
    pub(crate) fn mark(&self, chunk: usize, free: u64) {
        for log in 0..LENGTHS {
            if bits::aligned_runs(free, 1 << log) == 0 {
                break;
            }
            self.mark_length(chunk, log);
        }
    }

    fn mark_length(&self, chunk: usize, log: usize) {
        let (i, bit) = (chunk / 64, 1 << (chunk % 64));
        if self.word(i, log).fetch_or(bit, ordering::index_mark()) == 0 {
            self.top(i / 64, log).fetch_or(1 << (i % 64), ordering::index_mark());
        }
    }

    /// The lowest chunk that seems to have room for a run of `1 << log`,
    /// below chunk `end`.
    pub(crate) fn find(&self, log: usize, end: usize) -> Option<usize> {
        for t in 0..end.div_ceil(4096) {
            let mut top = self.top(t, log).load(ordering::index_read());
            while top != 0 {
                let i = t * 64 + top.trailing_zeros() as usize;
                let word = self.word(i, log).load(ordering::index_read());
                if word != 0 {
                    return Some(i * 64 + word.trailing_zeros() as usize);
                }
                self.clear_top(i, log);
                top &= top - 1;
            }
        }
        None
    }

    /// Notes that a chunk has no room for a run of `1 << log`, unless it has
    /// some now.
    fn clear(&self, chunk: usize, log: usize, granules: &Granules) {
        let (i, bit) = (chunk / 64, 1u64 << (chunk % 64));
        self.word(i, log).fetch_and(!bit, ordering::index_clear());
        if bits::aligned_runs(granules.free_seen(), 1 << log) != 0 {
            self.mark_length(chunk, log);
        }
    }

    fn clear_top(&self, i: usize, log: usize) {
        let bit = 1u64 << (i % 64);
        self.top(i / 64, log).fetch_and(!bit, ordering::index_clear());
        if self.word(i, log).load(ordering::index_read()) != 0 {
            self.top(i / 64, log).fetch_or(bit, ordering::index_mark());
        }
    }
}

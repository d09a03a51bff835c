//! Index of the chunks of an arena that have room for an aligned run of 1, 2, 4, 8 or all 64
//! granules: one bit a chunk for each length. The lowest chunk is found first, which
//! keeps the heap dense.
//!
//! The bits are hints. A bit may be set for a chunk without room; whoever finds that
//! out clears it. A bit is never clear for long where there is room: a thread that
//! frees granules first sets them in the chunk's mask, then the bit; one that clears a
//! bit reads the mask afterwards, and sets the bit again if there is room. Both change
//! the bit by read-modify-writes.

use core::ptr::{self, NonNull};

use crate::base::bits;
use crate::base::geometry::MAX_ARENAS;
use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicU64};
use crate::spans::granules::Granules;

/// Number of lengths of runs: 1 << 0 to 1 << 3, and whole chunks.
pub(crate) const LENGTHS: usize = 5;

/// The place of whole chunks among the lengths.
const WHOLE: usize = LENGTHS - 1;

/// Whether granules of which these are free have room for a run of a length.
fn has_room(free: u64, log: usize) -> bool {
    if log == WHOLE { free == u64::MAX } else { bits::aligned_runs(free, 1 << log) != 0 }
}

pub(crate) struct FreeSpaceIndex {
    /// `[chunks / 64][arena][LENGTHS]`, one bit a chunk.
    words: AtomicPtr<AtomicU64>,
    /// `[chunks / 4096][arena][LENGTHS]`, one bit for each word above that is not zero.
    tops: AtomicPtr<AtomicU64>,
}

/// Words from one group of chunks to the next: the arenas' indexes lie side by side.
const STRIDE: usize = MAX_ARENAS * LENGTHS;

/// Bytes of an arena's words for `chunks`.
pub(crate) const fn words_bytes(chunks: usize) -> usize {
    chunks / 64 * LENGTHS * size_of::<u64>()
}

/// Bytes of an arena's tops for `chunks`.
pub(crate) const fn tops_bytes(chunks: usize) -> usize {
    words_bytes(chunks) / 64
}

impl FreeSpaceIndex {
    pub(crate) const fn new() -> Self {
        FreeSpaceIndex {
            words: AtomicPtr::new(ptr::null_mut()),
            tops: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Sets the tables (all zero) of the indexes, in which this one is that of `arena`.
    /// Called once, while no other thread uses it.
    pub(crate) fn init_tables(&self, [words, tops]: [NonNull<u8>; 2], arena: usize) {
        let of_arena =
            |table: NonNull<u8>| table.as_ptr().cast::<AtomicU64>().wrapping_add(arena * LENGTHS);
        self.words.store(of_arena(words), ordering::index_place());
        self.tops.store(of_arena(tops), ordering::index_place());
    }

    fn word(&self, i: usize, log: usize) -> &AtomicU64 {
        // SAFETY: [INDEX-COVERS] the table covers every readable chunk.
        unsafe { &*self.words.load(ordering::index_place()).add(i * STRIDE + log) }
    }

    fn top(&self, i: usize, log: usize) -> &AtomicU64 {
        // SAFETY: [INDEX-COVERS]
        unsafe { &*self.tops.load(ordering::index_place()).add(i * STRIDE + log) }
    }

    /// Claims a run of `len` granules in the lowest chunk below `end` that has one.
    /// Returns the chunk, the first granule, and a mask of those that held memory.
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

    /// Claims all granules of the lowest chunk below `end` whose granules are all free.
    pub(crate) fn claim_chunk<'a>(
        &self,
        end: usize,
        granules: impl Fn(usize) -> &'a Granules,
    ) -> Option<usize> {
        while let Some(chunk) = self.find(WHOLE, end) {
            let claimed = granules(chunk).claim_all();
            self.clear(chunk, WHOLE, granules(chunk));
            if claimed {
                return Some(chunk);
            }
        }
        None
    }

    /// Frees claimed granules of a chunk; `dirty` are those with memory.
    pub(crate) fn give_back(&self, chunk: usize, granules: &Granules, bits: u64, dirty: u64) {
        self.mark(chunk, granules.give_back(bits, dirty));
    }

    /// Sets the bits of a chunk with these free granules.
    pub(crate) fn mark(&self, chunk: usize, free: u64) {
        for log in (0..LENGTHS).take_while(|log| has_room(free, *log)) {
            self.mark_length(chunk, log);
        }
    }

    /// In the child of a fork: as [`mark`](Self::mark), whatever a vanished thread left. It may have
    /// set the bit of another chunk, and not yet the one above it.
    pub(crate) fn mark_surely(&self, chunk: usize, free: u64) {
        // A page that is not written to stays shared with the parent.
        let set = |word: &AtomicU64, bit: usize| {
            if word.load(ordering::index_in_child()) >> bit & 1 == 0 {
                word.fetch_or(1 << bit, ordering::index_in_child());
            }
        };
        let i = chunk / 64;
        for log in 0..LENGTHS {
            let word = self.word(i, log);
            if has_room(free, log) {
                set(word, chunk % 64);
            }
            if word.load(ordering::index_in_child()) != 0 {
                set(self.top(i / 64, log), i % 64);
            }
        }
    }

    fn mark_length(&self, chunk: usize, log: usize) {
        let (i, bit) = (chunk / 64, 1 << (chunk % 64));
        if self.word(i, log).fetch_or(bit, ordering::index_mark()) == 0 {
            self.top(i / 64, log).fetch_or(1 << (i % 64), ordering::index_mark());
        }
    }

    /// The lowest chunk below `end` that seems to have room for a run of a length.
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

    /// Clears the bit for runs of a length, unless the chunk now has room for one.
    fn clear(&self, chunk: usize, log: usize, granules: &Granules) {
        let (i, bit) = (chunk / 64, 1u64 << (chunk % 64));
        self.word(i, log).fetch_and(!bit, ordering::index_clear());
        if has_room(granules.free_seen(), log) {
            self.mark_length(chunk, log);
        }
    }

    fn clear_top(&self, i: usize, log: usize) {
        let bit = 1u64 << (i % 64);
        self.top(i / 64, log).fetch_and(!bit, ordering::index_clear());
        if self.word(i, log).load(ordering::index_again()) != 0 {
            self.top(i / 64, log).fetch_or(bit, ordering::index_again());
        }
    }
}

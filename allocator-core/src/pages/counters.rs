//! What happened since the start of the process, counted for statistics. Nothing here decides
//! anything. Slow paths count; what the fast paths do within a magazine is not seen.

use core::mem::offset_of;

use crossbeam_utils::CachePadded;

use crate::base::directory::{self, Address};
use crate::base::ordering;
use crate::base::sync::AtomicUsize;

/// A number that only grows.
#[repr(transparent)]
pub(crate) struct Counter {
    count: AtomicUsize,
}

impl Counter {
    const fn new() -> Self {
        Counter { count: AtomicUsize::new(0) }
    }

    /// Counts so many more.
    #[inline]
    pub(crate) fn add(&self, more: usize) {
        self.count.fetch_add(more, ordering::counter());
    }

    /// Raises the number to at least `least`. Most often it is that already.
    #[inline]
    pub(crate) fn raise(&self, least: usize) {
        if least > self.get() {
            self.count.fetch_max(least, ordering::counter());
        }
    }

    /// Raises the number to at least `least`, and returns it: of what is read in several parts,
    /// the sum may be a little too small at times, and must not fall.
    pub(crate) fn not_below(&self, least: usize) -> usize {
        self.raise(least);
        self.get()
    }

    pub(crate) fn get(&self) -> usize {
        self.count.load(ordering::counter())
    }
}

/// Blocks, and their bytes.
pub(crate) struct Amount {
    pub(crate) blocks: Counter,
    pub(crate) bytes: Counter,
}

impl Amount {
    const fn new() -> Self {
        Amount { blocks: Counter::new(), bytes: Counter::new() }
    }

    #[inline]
    pub(crate) fn add(&self, blocks: usize, bytes: usize) {
        self.blocks.add(blocks);
        self.bytes.add(bytes);
    }
}

/// All counters, but for those of threads with a cache: each of their heaps has a tally.
pub(crate) struct Counters {
    /// Small blocks that left spans for threads without a cache.
    pub(crate) small: Amount,
    /// Page runs and huge blocks that such threads got, and the bytes that those of all threads
    /// grew by in place.
    pub(crate) large: Amount,
    /// Page runs and huge blocks that such threads freed.
    pub(crate) large_freed: Counter,
    /// Passes over free memory that returned some to the system.
    pub(crate) purges: Counter,
    /// Requests for which there was no memory.
    pub(crate) refusals: Counter,
    /// Times that the program was to be told of the soft limit.
    pub(crate) soft_limit: Counter,
    /// Charges that the hard limit refused.
    pub(crate) hard_limit: Counter,
    /// The most bytes that were committed at a time.
    pub(crate) peak_committed: Counter,
    /// The most threads that had a cache at a time.
    pub(crate) peak_threads: Counter,
    /// What was last reported as allocated, and as freed.
    pub(crate) allocated_seen: Amount,
    pub(crate) freed_seen: Amount,
}

impl Counters {
    /// Counts a request that `block` is the answer to, if it is null: there was no memory.
    #[inline]
    pub(crate) fn note_refusal(&self, block: *mut u8) {
        if block.is_null() {
            self.refusals.add(1);
        }
    }
}

pub(crate) static COUNTERS: CachePadded<Counters> = CachePadded::new(Counters {
    small: Amount::new(),
    large: Amount::new(),
    large_freed: Counter::new(),
    purges: Counter::new(),
    refusals: Counter::new(),
    soft_limit: Counter::new(),
    hard_limit: Counter::new(),
    peak_committed: Counter::new(),
    peak_threads: Counter::new(),
    allocated_seen: Amount::new(),
    freed_seen: Amount::new(),
});

/// Where the counters are, for readers outside of the process.
pub(crate) const fn places() -> directory::Counters {
    let all = Address::of(&raw const COUNTERS);
    directory::Counters {
        small_blocks: all.plus(offset_of!(Counters, small.blocks)),
        small_bytes: all.plus(offset_of!(Counters, small.bytes)),
        large_blocks: all.plus(offset_of!(Counters, large.blocks)),
        large_bytes: all.plus(offset_of!(Counters, large.bytes)),
        large_freed: all.plus(offset_of!(Counters, large_freed)),
        purges: all.plus(offset_of!(Counters, purges)),
        refusals: all.plus(offset_of!(Counters, refusals)),
        soft_limit: all.plus(offset_of!(Counters, soft_limit)),
        hard_limit: all.plus(offset_of!(Counters, hard_limit)),
        peak_committed: all.plus(offset_of!(Counters, peak_committed)),
        peak_threads: all.plus(offset_of!(Counters, peak_threads)),
        allocated_blocks_seen: all.plus(offset_of!(Counters, allocated_seen.blocks)),
        allocated_bytes_seen: all.plus(offset_of!(Counters, allocated_seen.bytes)),
        freed_blocks_seen: all.plus(offset_of!(Counters, freed_seen.blocks)),
        freed_bytes_seen: all.plus(offset_of!(Counters, freed_seen.bytes)),
    }
}

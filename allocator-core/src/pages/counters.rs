//! What happened since the start of the process, counted for statistics. Nothing here decides
//! anything. Slow paths count; what the fast paths do within a magazine is not seen.

use crossbeam_utils::CachePadded;

use crate::base::ordering;
use crate::base::sync::AtomicUsize;

/// A number that only grows.
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

/// Page runs, or huge blocks.
pub(crate) struct Large {
    /// Those that were allocated, and the bytes that they grew by in place.
    pub(crate) allocated: Amount,
    /// Those that were freed.
    pub(crate) freed: Counter,
}

impl Large {
    pub(crate) const fn new() -> Self {
        Large { allocated: Amount::new(), freed: Counter::new() }
    }
}

/// All counters, but for those of page runs: each arena has its own.
pub(crate) struct Counters {
    /// Huge blocks.
    pub(crate) huge: Large,
    /// Small blocks that left spans for threads without a cache.
    pub(crate) without_cache: Amount,
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
    huge: Large::new(),
    without_cache: Amount::new(),
    purges: Counter::new(),
    refusals: Counter::new(),
    soft_limit: Counter::new(),
    hard_limit: Counter::new(),
    peak_committed: Counter::new(),
    peak_threads: Counter::new(),
    allocated_seen: Amount::new(),
    freed_seen: Amount::new(),
});

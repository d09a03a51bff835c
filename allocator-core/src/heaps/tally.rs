//! What the owner of a heap allocated and freed since the start, for statistics: nothing here
//! decides anything. The owner alone writes, on its slow paths, so that counting takes a load and
//! a store.

use crate::base::ordering;
use crate::base::sync::AtomicUsize;

/// A number that only grows, modulo 2^64.
#[repr(transparent)]
pub(crate) struct Count {
    count: AtomicUsize,
}

impl Count {
    const fn new() -> Self {
        Count { count: AtomicUsize::new(0) }
    }

    /// Counts so many more. Called by the owner of the heap.
    #[inline]
    pub(crate) fn add(&self, more: usize) {
        self.count.store(self.get().wrapping_add(more), ordering::tally());
    }

    #[inline]
    pub(crate) fn get(&self) -> usize {
        self.count.load(ordering::tally())
    }
}

pub(crate) struct Tally {
    /// Small blocks that left spans for the owner, whichever heap had them, and their bytes.
    pub(crate) small_blocks: Count,
    pub(crate) small_bytes: Count,
    /// Page runs and huge blocks that the owner got, and their bytes.
    pub(crate) large_blocks: Count,
    pub(crate) large_bytes: Count,
    /// Page runs and huge blocks that it freed.
    pub(crate) large_freed: Count,
}

impl Tally {
    pub(super) const fn new() -> Self {
        Tally {
            small_blocks: Count::new(),
            small_bytes: Count::new(),
            large_blocks: Count::new(),
            large_bytes: Count::new(),
            large_freed: Count::new(),
        }
    }

    /// Counts small blocks that left spans for the owner.
    #[inline]
    pub(crate) fn took_small(&self, blocks: usize, bytes: usize) {
        self.small_blocks.add(blocks);
        self.small_bytes.add(bytes);
    }

    /// Counts a page run or huge block that the owner got.
    pub(crate) fn took_large(&self, bytes: usize) {
        self.large_blocks.add(1);
        self.large_bytes.add(bytes);
    }
}

//! The 64 granules of a chunk: which are free, and which free ones hold
//! memory. There is no lock: claiming is one read-modify-write, and so is
//! giving back.
//!
//! ```text
//!  free   1 = unclaimed     claim: clear bits      give back: set bits
//!  dirty  1 = free, and its memory was written: purging gives it back
//! ```
//!
//! The thread that clears all 64 bits at once releases the free chunk.

use crate::base::bits;
use crate::base::geometry::CHUNK_GRANULES;
use crate::base::ordering;
use crate::base::sync::{self, AtomicU64};

pub(crate) struct Granules {
    free: AtomicU64,
    dirty: AtomicU64,
}

/// What [`Granules::clean`] did.
pub(crate) struct Clean {
    /// Granules that the caller owns now.
    pub(crate) claimed: u64,
    /// Those of them that still hold memory.
    pub(crate) dirty: u64,
    /// Number of granules that held memory and no longer do.
    pub(crate) cleaned: u32,
}

impl Granules {
    #[cfg(strata_loom)]
    pub(crate) fn new(free: u64) -> Self {
        Granules { free: AtomicU64::new(free), dirty: AtomicU64::new(0) }
    }

    /// Marks all granules free, for a chunk just mapped; `dirty` are those that may hold
    /// memory. Threads with an old hint of the chunk may access these words, so both are
    /// swapped.
    pub(crate) fn reset_free(&self, dirty: u64) {
        self.dirty.swap(dirty, ordering::granules_dirty());
        self.free.swap(u64::MAX, ordering::granules_return());
    }

    /// The free granules, as a hint.
    pub(crate) fn free_hint(&self) -> u64 {
        sync::peek_mask(&self.free, ordering::granules_peek())
    }

    /// The free granules that the caller is sure to see: all that were given
    /// back before its last acquire.
    pub(crate) fn free_seen(&self) -> u64 {
        self.free.load(ordering::granules_peek())
    }

    /// The free granules that hold memory, as a hint.
    pub(crate) fn dirty_hint(&self) -> u64 {
        sync::peek_mask(&self.dirty, ordering::granules_dirty_peek())
    }

    /// Claims the lowest aligned run of `len` granules. Returns the first
    /// granule, and which ones held memory.
    pub(crate) fn claim(&self, len: usize) -> Option<(usize, u64)> {
        let mut free = self.free_hint();
        loop {
            let runs = bits::aligned_runs(free, len);
            if runs == 0 {
                return None;
            }
            let first = runs.trailing_zeros() as usize;
            let claimed = bits::mask(first, len);
            match self.free.compare_exchange_weak(
                free,
                free & !claimed,
                ordering::granules_claim(),
                ordering::granules_peek(),
            ) {
                Ok(_) => return Some((first, self.take_dirty(claimed))),
                Err(seen) => free = seen,
            }
        }
    }

    /// Claims the granules of `wanted` that are free now.
    fn claim_these(&self, wanted: u64) -> u64 {
        self.free.fetch_and(!wanted, ordering::granules_claim()) & wanted
    }

    /// Gives granules back. `dirty` are those that hold memory. Returns the
    /// granules that are free afterwards.
    pub(crate) fn give_back(&self, bits: u64, dirty: u64) -> u64 {
        if dirty != 0 && sync::step("granules_dirty") {
            self.dirty.fetch_or(dirty, ordering::granules_dirty());
        }
        self.free.fetch_or(bits, ordering::granules_return()) | bits
    }

    /// Returns which of the caller's claimed granules hold memory. They no
    /// longer count as free memory.
    pub(crate) fn take_dirty(&self, claimed: u64) -> u64 {
        self.dirty.fetch_and(!claimed, ordering::granules_dirty()) & claimed
    }

    /// Claims the granules of `wanted` that are free and calls `purge` for each
    /// run. `purge` returns whether it gave the memory back to the system. The
    /// caller gives back the claimed granules.
    pub(crate) fn clean(&self, wanted: u64, mut purge: impl FnMut(usize, usize) -> bool) -> Clean {
        let claimed = self.claim_these(wanted);
        let had = self.take_dirty(claimed);
        let mut dirty = 0;
        for (first, len) in bits::runs(|_| claimed, CHUNK_GRANULES) {
            if !purge(first, len) {
                dirty |= bits::mask(first, len) & had;
            }
        }
        Clean { claimed, dirty, cleaned: (had & !dirty).count_ones() }
    }

    /// Claims the whole chunk if all its granules are free.
    pub(crate) fn claim_all(&self) -> bool {
        self.free
            .compare_exchange(u64::MAX, 0, ordering::chunk_claim(), ordering::granules_peek())
            .is_ok()
    }
}

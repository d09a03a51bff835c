//! The 64 granules of a chunk: which are free, which hold memory. Claiming
//! and giving back is one read-modify-write; no lock.
//!
//! ```text
//!  free   1 = nobody's      claim: clear bits      give back: set bits
//!  dirty  1 = free, and its memory was written: purging gives it back
//! ```
//!
//! A chunk that is all free is released by whoever clears all 64 bits at once.

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
    /// Granules that are the caller's now.
    pub(crate) claimed: u64,
    /// Those of them that hold memory still.
    pub(crate) dirty: u64,
    /// How many held memory and do no more.
    pub(crate) cleaned: u32,
}

impl Granules {
    #[cfg(strata_loom)]
    pub(crate) fn new(free: u64) -> Self {
        Granules { free: AtomicU64::new(free), dirty: AtomicU64::new(0) }
    }

    /// All granules free and clean: a chunk just mapped. Those who have an old
    /// hint of it may be at these words, so both are swapped.
    pub(crate) fn reset_free(&self) {
        self.dirty.swap(0, ordering::granules_dirty());
        self.free.swap(u64::MAX, ordering::granules_return());
    }

    /// Which are free, for a guess.
    pub(crate) fn free_hint(&self) -> u64 {
        sync::peek_mask(&self.free, ordering::granules_peek())
    }

    /// Which are free, as far as the caller has been told: all that was given
    /// back before what it last acquired.
    pub(crate) fn free_seen(&self) -> u64 {
        self.free.load(ordering::granules_peek())
    }

    /// Which are free and hold memory, for a guess.
    pub(crate) fn dirty_hint(&self) -> u64 {
        sync::peek_mask(&self.dirty, ordering::granules_dirty_peek())
    }

    /// Claims a run of `len` granules, the lowest. Returns the first, and which
    /// of them held memory.
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

    /// Claims those of `wanted` that are free now.
    fn claim_these(&self, wanted: u64) -> u64 {
        self.free.fetch_and(!wanted, ordering::granules_claim()) & wanted
    }

    /// Gives granules back; `dirty` are those that hold memory. Returns the
    /// free ones afterwards.
    pub(crate) fn give_back(&self, bits: u64, dirty: u64) -> u64 {
        if dirty != 0 && sync::step("granules_dirty") {
            self.dirty.fetch_or(dirty, ordering::granules_dirty());
        }
        self.free.fetch_or(bits, ordering::granules_return()) | bits
    }

    /// Which of the granules that the caller has claimed hold memory; they are no
    /// longer counted as free memory.
    pub(crate) fn take_dirty(&self, claimed: u64) -> u64 {
        self.dirty.fetch_and(!claimed, ordering::granules_dirty()) & claimed
    }

    /// Claims those of `wanted` that are free and has `purge` give their memory
    /// back to the system, run by run, which says whether it did. The caller
    /// gives back what was claimed.
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

    /// Claims the whole chunk if all of it is free.
    pub(crate) fn claim_all(&self) -> bool {
        self.free
            .compare_exchange(u64::MAX, 0, ordering::chunk_claim(), ordering::granules_peek())
            .is_ok()
    }
}

//! The sampled blocks that are in use, by their addresses. A sample is entered under the lock of
//! the profile. It is removed by the thread that frees the block, without a lock: in a signal
//! handler, too, and after the profile was switched off.
//!
//! ```text
//!  address ─┬─► bucket │block│ – │block│block│ – │ – │ – │ – │    a sample goes to the one
//!           └─► bucket │block│ – │  –  │  –  │ – │ – │ – │ – │    that has fewer
//! ```

use crate::base::ordering;
use crate::base::sync::{self, AtomicUsize, Guarded};

/// Samples by the addresses of their blocks: `BUCKETS` times `SLOTS` of them.
pub(crate) struct Live<T, const BUCKETS: usize, const SLOTS: usize> {
    buckets: [Bucket<T, SLOTS>; BUCKETS],
    count: AtomicUsize,
}

struct Bucket<T, const SLOTS: usize> {
    /// The addresses; 0: the slot is free.
    blocks: [AtomicUsize; SLOTS],
    /// \[SAMPLE-OWNED\]
    samples: [Guarded<Option<T>>; SLOTS],
}

// SAFETY: [SAMPLE-OWNED] a sample is touched by one thread at a time.
unsafe impl<T: Send, const BUCKETS: usize, const SLOTS: usize> Sync for Live<T, BUCKETS, SLOTS> {}

impl<T: Copy, const BUCKETS: usize, const SLOTS: usize> Live<T, BUCKETS, SLOTS> {
    pub(crate) const fn new() -> Self {
        Live { buckets: [const { Bucket::new() }; BUCKETS], count: AtomicUsize::new(0) }
    }

    /// Whether no sampled block is in use. True for none that the calling thread got.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(ordering::profile_live()) == 0
    }

    /// Whether more than seven eighths of the slots are taken: some buckets are full then.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.count.load(ordering::profile_live()) > BUCKETS * SLOTS / 8 * 7
    }

    /// The buckets that a block may be in.
    fn buckets(&self, block: usize) -> [&Bucket<T, SLOTS>; 2] {
        let mixed = (block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        [mixed >> 48, mixed >> 32].map(|hash| &self.buckets[hash as usize % BUCKETS])
    }

    /// Enters a block, which was allocated and is not handed out yet. Returns whether there was
    /// room. One thread at a time does so.
    pub(crate) fn insert(&self, block: usize, sample: T) -> bool {
        let [first, second] = self.buckets(block);
        let bucket = if first.taken() <= second.taken() { first } else { second };
        // The thread that freed the slot has read the sample.
        let free = |slot: &AtomicUsize| sync::peek_word(slot, ordering::profile_slot_claim()) == 0;
        let Some(slot) = bucket.blocks.iter().position(free) else { return false };
        // SAFETY: [SAMPLE-OWNED] the slot is free, and no other thread enters one.
        bucket.samples[slot].with(|place| unsafe { *place = Some(sample) });
        self.count.fetch_add(1, ordering::profile_live());
        bucket.blocks[slot].store(block, ordering::profile_slot_set());
        true
    }

    /// Removes a block, which the caller frees. Returns its sample, if it has one.
    #[cold]
    pub(crate) fn remove(&self, block: usize) -> Option<T> {
        for bucket in self.buckets(block) {
            let here = |slot: &AtomicUsize| slot.load(ordering::profile_slot_set()) == block;
            if let Some(slot) = bucket.blocks.iter().position(here) {
                // SAFETY: [SAMPLE-OWNED] the block is the caller's.
                let sample = bucket.samples[slot].with(|place| unsafe { *place });
                sync::store_word(&bucket.blocks[slot], 0, ordering::profile_slot_free());
                self.count.fetch_sub(1, ordering::profile_live());
                return sample;
            }
        }
        None
    }
}

impl<T, const SLOTS: usize> Bucket<T, SLOTS> {
    const fn new() -> Self {
        Bucket {
            blocks: [const { AtomicUsize::new(0) }; SLOTS],
            samples: [const { Guarded::new(None) }; SLOTS],
        }
    }

    fn taken(&self) -> usize {
        let taken = |slot: &&AtomicUsize| slot.load(ordering::profile_slot_set()) != 0;
        self.blocks.iter().filter(taken).count()
    }
}

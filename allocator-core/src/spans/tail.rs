//! The tail of a huge block: what lies behind it in its last chunk, and may hold memory of
//! what was there before. It is free memory that nobody can use, so it is purged like all
//! other, while the block is in use. A block that is freed meanwhile is left to the thread
//! that purges its tail.
//!
//! ```text
//!  chunk    │ chunk          │ chunk          │
//!  block    │################|#####|dirty|     │
//!                                  └ tail ┘
//!
//!  bytes ──begin_purge──► bytes, PURGING ──end_purge──► bytes that are left
//!    │ free                     │ free
//!    ▼                          ▼
//!  bytes, FREED           PURGING, FREED: end_purge tells the purger to free the block
//! ```

use crate::base::ordering;
use crate::base::sync::{self, AtomicU64};

/// Bytes of a tail, whole pages, and two flags.
pub(crate) struct Tail {
    word: AtomicU64,
}

/// A thread purges the tail.
const PURGING: u64 = 1;
/// The block was freed.
const FREED: u64 = 2;

/// What the owner of a block finds when it frees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It frees the block; so many bytes of the tail may hold memory.
    Frees(usize),
    /// The thread that purges the tail will free the block.
    Leaves,
    /// The block was freed before.
    Freed,
}

impl Tail {
    #[cfg(strata_loom)]
    pub(crate) fn new(bytes: usize) -> Self {
        Tail { word: AtomicU64::new(bytes as u64) }
    }

    /// Sets the bytes, when a block was made or resized. Called by its owner, who has
    /// [`take`](Self::take)n them before.
    pub(crate) fn set(&self, bytes: usize) {
        // Threads that saw an older block here may access the word, so it is swapped.
        self.word.swap(bytes as u64, ordering::tail_set());
    }

    /// Takes the bytes, so that nobody begins to purge them. `None`: somebody is at it, or just
    /// began. Called by the owner of the block.
    pub(crate) fn take(&self) -> Option<usize> {
        let word = self.peek();
        if word & (PURGING | FREED) != 0 {
            return None;
        }
        let taken =
            self.word.compare_exchange(word, 0, ordering::tail_take(), ordering::tail_peek());
        taken.ok().map(|bytes| bytes as usize)
    }

    /// Frees the block. Called by its owner.
    pub(crate) fn free(&self) -> Owner {
        let mut word = self.peek();
        loop {
            if word & FREED != 0 {
                return Owner::Freed;
            }
            let (free, peek) = (ordering::tail_free(), ordering::tail_peek());
            match self.word.compare_exchange(word, word | FREED, free, peek) {
                Ok(_) if word & PURGING != 0 => return Owner::Leaves,
                Ok(bytes) => return Owner::Frees(bytes as usize),
                Err(seen) => word = seen,
            }
        }
    }

    /// The bytes of a block that was freed, and is the caller's.
    pub(crate) fn of_freed(&self) -> usize {
        (self.word.load(ordering::tail_peek()) & !FREED) as usize
    }

    /// Whether the block was freed: it is on standby, or about to be.
    pub(crate) fn is_freed(&self) -> bool {
        self.peek() & FREED != 0
    }

    /// Sets the bytes of a block that was freed and goes into use again. Called by its owner; nobody
    /// begins to purge the tail of a freed block, so nobody else writes the word.
    pub(crate) fn set_again(&self, bytes: usize) {
        sync::store_mask(&self.word, bytes as u64, ordering::tail_set());
    }

    /// Begins to purge the tail, if there is one and nobody else is at it. Returns its
    /// bytes. From here to [`end_purge`](Self::end_purge), the block keeps its place.
    pub(crate) fn begin_purge(&self) -> Option<usize> {
        let word = self.peek();
        if word == 0 || word & (PURGING | FREED) != 0 {
            return None;
        }
        let (begin, peek) = (ordering::tail_begin_purge(), ordering::tail_peek());
        let bytes = self.word.compare_exchange(word, word | PURGING, begin, peek).ok()?;
        Some(bytes as usize)
    }

    /// Ends the purge of a tail of `bytes`, of which `left` may still hold memory. Returns
    /// whether the block was freed meanwhile: then the caller frees it.
    #[must_use]
    pub(crate) fn end_purge(&self, bytes: usize, left: usize) -> bool {
        let (end, freed) = (ordering::tail_end_purge(), ordering::tail_freed());
        let word = bytes as u64 | PURGING;
        let freed = self.word.compare_exchange(word, left as u64, end, freed).is_err();
        if freed {
            // Another free of the block is told as one.
            self.word.swap(left as u64 | FREED, ordering::tail_peek());
        }
        freed
    }

    fn peek(&self) -> u64 {
        sync::peek_mask(&self.word, ordering::tail_peek())
    }

    /// In the child of a fork: nobody purges the tail. Returns whether the block was left
    /// to a thread that vanished, and the bytes.
    pub(crate) fn after_fork(&self) -> (bool, usize) {
        let word = self.peek();
        let bytes = word & !(PURGING | FREED);
        self.word.store(bytes, ordering::tail_peek());
        (word & FREED != 0, bytes as usize)
    }
}

//! What a thread keeps is put away: one magazine at a time as they age, all at
//! once when the thread goes to sleep, is asked, or ends.

use crate::base::size_class::CLASSES;
use crate::pages::arena;
use crate::remote::span_transfer;
use crate::thread::cache::{ACTIVE, Cache};

/// Slow-path calls between two looks at one magazine.
const AGE: u32 = 16;
/// Slow-path calls after which the remote cache is sent off, however full.
const FLUSH_REMOTE: u32 = 256;

impl Cache {
    /// Once in a while: idle magazines are put away, and the remote cache of a
    /// thread that frees little goes off too.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn note_slow_path(&self, class: usize) {
        self.heap.advance_epoch();
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let owner = self.owner();
            owner.seen[class] = ACTIVE;
            owner.calls = owner.calls.wrapping_add(1);
            if owner.calls.is_multiple_of(AGE) {
                self.age_one();
            }
            if owner.calls.is_multiple_of(FLUSH_REMOTE) {
                self.owner().budget.settle();
                self.flush_remote_cache();
            }
        }
    }

    /// Puts the magazine that the clock points at away if nothing happened in
    /// it since the clock last came by.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn age_one(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let owner = self.owner();
            let class = owner.clock;
            owner.clock = (class + 1) % CLASSES;
            let bin = &self.bins[class];
            let len = (bin.len() % usize::from(ACTIVE)) as u8;
            if owner.seen[class] != len {
                owner.seen[class] = len;
            } else if bin.capacity() != 0 {
                self.discard(class);
            }
        }
    }

    /// Asks the thread to put away what it keeps, at its next free. Anybody may.
    pub(crate) fn request_flush(&self) {
        self.view.invalidate();
    }

    /// Puts away all that the thread keeps, if it keeps anything.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(crate) unsafe fn flush_if_any(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let owner = self.owner();
            if !owner.budget.is_untouched() || !owner.remote_cache.is_empty() {
                self.flush_all();
            }
        }
    }

    /// Puts away all that the thread keeps.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    pub(crate) unsafe fn flush_all(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            for class in 0..CLASSES {
                self.discard(class);
            }
            self.owner().budget.settle();
            self.flush_remote_cache();
            self.owner().flow.report();
        }
    }

    /// Ends a thread's use of the cache: everything goes where others find
    /// it, the spans to the arena. The thread allocates without it from now on.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn end(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.flush_all();
            let owner = self.owner();
            owner.remote_cache.free_array();
            let batches = span_transfer::abandon(self.heap, &arena::get(self.shard()).heap);
            owner.remote_cache.batches.recycle(batches);
            owner.remote_cache.batches.empty();
        }
    }
}

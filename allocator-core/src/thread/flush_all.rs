//! How a thread gives up what it caches. One magazine at a time ages: every 16
//! slow-path calls, a clock comes by the next class, and flushes its magazine if
//! it was idle for a whole round. Every 256 calls, the remote cache is sent. All is
//! flushed when the thread goes to sleep, when another thread requests it, and when
//! the thread ends; then its spans go to the arena, too.

use crate::base::size_class::CLASSES;
use crate::pages::arena;
use crate::remote::span_transfer;
use crate::thread::cache::{ACTIVE, Cache};

/// Slow-path calls after which the clock moves to the next magazine.
const AGE: u32 = 16;
/// Slow-path calls after which the remote cache is sent, full or not.
const FLUSH_REMOTE: u32 = 256;

impl Cache {
    /// Counts a slow-path call. Now and then flushes an idle magazine, and sends
    /// the remote cache of a thread that frees too little to fill it.
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

    /// Flushes the magazine at the clock if nothing happened in it since the clock
    /// last came by.
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

    /// Requests that the thread flush all that it caches, at its next free. Any
    /// thread may call this.
    pub(crate) fn request_flush(&self) {
        self.view.invalidate();
    }

    /// Flushes all that the thread caches, if it caches anything.
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

    /// Flushes all that the thread caches: its magazines and its remote cache.
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

    /// Ends the thread's use of the cache: all goes where other threads find it,
    /// the spans to the arena. From now on the thread allocates without a cache.
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

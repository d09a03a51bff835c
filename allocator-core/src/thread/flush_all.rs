//! A thread flushes all that it caches when it goes to sleep, when another thread
//! requests it, and when it ends; then its spans go to the arena, too.

use crate::base::size_class::CLASSES;
use crate::heaps::heap::Heap;
use crate::pages::arena;
use crate::remote::send::BatchPool;
use crate::remote::span_transfer;
use crate::spans::page_map::MAP;
use crate::thread::cache::Cache;

impl Cache {
    /// Requests that the thread flush all that it caches, at its next free. Any
    /// thread may call this.
    pub(crate) fn request_flush(&self) {
        self.view.invalidate();
    }

    /// Flushes all that the thread caches, if it caches anything. Returns whether that was any
    /// block.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(crate) unsafe fn flush_if_any(&self) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let owner = self.owner();
            let any = !owner.remote_cache.is_empty() || self.bins.iter().any(|bin| bin.len() != 0);
            if any || !owner.budget.is_untouched() {
                self.flush_all();
            }
            any
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

    /// Prepares the cache for another thread: it keeps some blocks of classes that lease. Those of
    /// shared spans would share cache lines with blocks that others get. Returns false, and does
    /// nothing, if the heap has many spans: others may use them sooner.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn rest(&self) -> bool {
        let Some(locked) = self.heap.lock() else { return false };
        let is_small = locked.is_small();
        arena::release_spans(locked.unlock());
        if !is_small {
            return false;
        }
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            for class in 0..CLASSES {
                if !self.owner().trials[class].leases() || !self.has_only_own(class) {
                    self.discard(class);
                }
            }
            self.owner().budget.settle();
            if !self.owner().budget.is_small() {
                self.halve_all();
            }
            if self.owner().budget.is_small() {
                self.flush_remote_cache();
                self.owner().flow.report();
            } else {
                self.flush_all();
            }
        }
        true
    }

    /// Whether all blocks in a magazine are of spans of the cache's heap: some may have come with
    /// others from an arena.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn has_only_own(&self, class: usize) -> bool {
        let bin = &self.bins[class];
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe { bin.blocks() }.iter().all(|block| bin.is_for(MAP.entry(*block)))
    }

    /// Ends the thread's use of the cache: all goes where other threads find it,
    /// the spans to the arena. From now on the thread allocates without a cache.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn end(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            // Until another thread begins with it: nobody else is to end it.
            self.owner().inside += 1;
            self.flush_all();
            let owner = self.owner();
            owner.remote_cache.free_array();
            let batches = span_transfer::abandon(self.heap, &arena::get(self.shard()).heap);
            owner.remote_cache.batches.recycle(batches);
            owner.remote_cache.batches.empty();
        }
    }

    /// As [`end`](Self::end), on behalf of a thread that vanished in a fork or ended without
    /// its hook, after the cache was settled.
    ///
    /// # Safety
    /// \[OWNER-ONLY\] The thread vanished.
    pub(super) unsafe fn end_vanished(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.owner().budget.forget();
            self.owner().remote_cache.batches.count_again();
            // First: it may be full, which it is not while a thread buffers blocks.
            self.flush_remote_cache();
            self.end();
        }
    }
}

/// In the child of a fork: gives the spans of a heap without a cache to an arena.
pub(super) fn abandon(heap: &Heap) {
    let mut pool = BatchPool::new();
    pool.recycle(span_transfer::abandon(heap, &arena::get(arena::nearest()).heap));
    pool.empty();
}

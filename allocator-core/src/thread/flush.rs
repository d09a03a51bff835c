//! Flushing: the oldest blocks leave a magazine; the newest stay, and are reused
//! next. Blocks of the thread's heap go back to their spans, all under one lock.
//! Blocks of other owners go to the remote cache, and from there in groups to
//! their owners.
//!
//! ```text
//!  magazine ──► spans of the thread's heap
//!         └───► remote cache ──► remote queues of other heaps
//! ```

use core::ptr::NonNull;
use core::slice;

use crate::base::size_class::{self, CLASSES};
use crate::pages::arena;
use crate::remote::send;
use crate::spans::page_map::{self, MAP};
use crate::thread::cache::Cache;
use crate::thread::doubt::Doubt;

impl Cache {
    /// Returns the `count` oldest blocks of a magazine to their spans.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the magazine holds at least `count` blocks.
    pub(super) unsafe fn flush(&self, class: usize, count: usize) {
        let bin = &self.bins[class];
        if count == 0 {
            return;
        }
        // SAFETY: [OWNER-ONLY] the slots below the top are filled.
        unsafe {
            self.begin_change(class, count);
            self.heap.count_back(class, count);
            self.return_to_spans(class, slice::from_raw_parts_mut(bin.first(), count));
            self.begin_change(class, Doubt::ALL_BLOCKS);
            bin.drop_oldest(count);
            self.end_change();
        }
    }

    /// Returns blocks of a class to their spans; those of other owners go to the remote cache,
    /// and are counted when they leave it.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; \[LIVE-PINS-SPAN\]
    pub(super) unsafe fn return_to_spans(&self, class: usize, blocks: &mut [*mut u8]) {
        // In a signal handler that interrupts the heap, nobody gets the cache.
        let Some(mut locked) = self.heap.lock() else { return };
        // SAFETY: [LIVE-PINS-SPAN] by the caller.
        let left = unsafe { locked.put(blocks) };
        arena::release_spans(locked.unlock());
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe { self.owner() }.flow.come_back((blocks.len() - left) * size_class::size(class));
        for block in &blocks[..left] {
            // Without a class, the span is gone: the block was freed twice, and
            // its receiver detects that.
            let entry = MAP.entry(*block);
            let class = (page_map::kind(entry) as usize).min(CLASSES - 1);
            // SAFETY: [OWNER-ONLY]
            unsafe { self.send(*block, class, page_map::owner(entry)) };
        }
    }

    /// Puts a block of another owner into the remote cache, which is sent if it is
    /// full then.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; \[LIVE-PINS-SPAN\]
    pub(super) unsafe fn send(&self, block: *mut u8, class: usize, owner: u32) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let remote_cache = &mut self.owner().remote_cache;
            if !remote_cache.ensure_array() {
                self.owner().flow.come_back(size_class::size(class));
                return send::send_one(block);
            }
            if remote_cache.buffer(block, class, owner) {
                self.send_full();
            }
        }
    }

    /// Sends what is full in the remote cache.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn send_full(&self) {
        // SAFETY: [OWNER-ONLY] by the caller; [LIVE-PINS-SPAN] for the blocks.
        unsafe {
            let owner = self.owner();
            let bytes = owner.remote_cache.send_full();
            owner.flow.come_back(bytes);
        }
    }

    /// Sends all blocks of the remote cache to their owners.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn flush_remote_cache(&self) {
        // SAFETY: [OWNER-ONLY] by the caller; [LIVE-PINS-SPAN] for the blocks.
        unsafe {
            let owner = self.owner();
            let bytes = owner.remote_cache.send();
            owner.flow.come_back(bytes);
        }
    }

    /// Flushes a whole magazine and frees its array.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn discard(&self, class: usize) {
        let bin = &self.bins[class];
        let capacity = bin.capacity();
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.flush(class, bin.len());
            let (array, bytes) = bin.array();
            self.begin_change(class, Doubt::ALL);
            bin.unset_array();
            self.end_change();
            if let Some(array) = NonNull::new(array).filter(|_| bytes != 0) {
                self.owner().tail.put(array.cast(), bytes);
            }
            self.owner().budget.credit(capacity * size_class::size(class));
        }
    }
}

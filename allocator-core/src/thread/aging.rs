//! One magazine at a time ages: every 16 slow-path calls, a clock comes by the next
//! class, and flushes its magazine if it was idle for a whole round. Every 256
//! calls, the remote cache is sent, and the thread looks which shard is nearest.

use crate::base::size_class::CLASSES;
use crate::pages::arena;
use crate::thread::cache::{ACTIVE, Cache, Owner};

/// Slow-path calls after which the clock moves to the next magazine.
const AGE: u32 = 16;
/// Slow-path calls after which the remote cache is sent, full or not.
const FLUSH_REMOTE: u32 = 256;

impl Owner {
    /// Draws from the shard of the CPU that the thread runs on, if that was the nearest
    /// one the last time, too.
    fn follow_cpu(&mut self) {
        let nearest = arena::nearest() as u8;
        if self.nearest == nearest {
            self.shard = nearest;
        }
        self.nearest = nearest;
    }
}

impl Cache {
    /// Counts a slow-path call. Now and then flushes an idle magazine, and sends
    /// the remote cache of a thread that frees too little to fill it.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn age(&self, class: usize) {
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
                self.owner().follow_cpu();
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
}

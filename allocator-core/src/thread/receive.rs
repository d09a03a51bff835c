//! How received batches fill magazines. The owner takes a batch that other threads
//! pushed, and puts each of its blocks straight into the magazine of its class,
//! without a look at its span. Full magazines grow, until one cannot. The blocks
//! that do not fit go back to their spans.

use core::ptr::NonNull;

use crate::base::size_class;
use crate::heaps::heap::Heap;
use crate::heaps::remote_queue::Batch;
use crate::remote::take_from_heap;
use crate::spans::page_map::{self, MAP};
use crate::thread::cache::Cache;

impl Cache {
    /// Fills magazines from a received batch of `heap`.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the caller owns the received batch.
    pub(crate) unsafe fn receive(&self, received: NonNull<Batch>, heap: &Heap) {
        let (id, entries) = (heap.id(), MAP.entries());
        let (mut grow, mut blocks, mut bytes) = (true, 0, 0);
        let wants = |block| {
            let entry = entries.of(block);
            let class = page_map::kind(entry) as usize;
            let Some(bin) = self.bins.get(class).filter(|_| page_map::owner(entry) == id) else {
                return false;
            };
            // SAFETY: [OWNER-ONLY] by the caller; the block is free, and leaves
            // the batch.
            let fits = unsafe { bin.push(block) || (grow && self.grow(class) && bin.push(block)) };
            if fits {
                self.heap.count_out(class, 1);
                blocks += 1;
                bytes += size_class::size(class);
            } else {
                grow = false;
            }
            fits
        };
        // SAFETY: [OWNER-ONLY] [BATCH-ONE-PLACE] by the caller.
        unsafe {
            received.as_ref().with(|contents| contents.extract(wants));
            self.owner().flow.leave(bytes);
            self.heap.tally.took_small(blocks, bytes);
            take_from_heap::finish_received(heap, received, &mut self.owner().remote_cache.batches);
        }
    }
}

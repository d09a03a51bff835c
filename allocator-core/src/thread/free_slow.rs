//! The slow path of a free: a full magazine, or another owner's block.

use core::slice;

use crate::base::size_class;
use crate::thread::cache::Cache;
use crate::thread::magazine_size;

/// Flushes that follow upon a search for room that found none, before the next.
const PATIENCE: u8 = 24;

impl Cache {
    /// Takes a block of `class` that another owner has, to send it there.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the block is free, a small one, and its entry says
    /// `class` and another owner.
    #[cold]
    pub(crate) unsafe fn pass_on(&self, block: *mut u8, class: usize) {
        self.heap.count_back(class, 1);
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.owner().trials[class].note_free(block);
            self.send(block, class);
        }
    }

    /// Takes back a block of `class` of our own, for which there was no room
    /// in the magazine.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the block is free, a small one, and its entry says us
    /// and `class`.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn take_back(&self, block: *mut u8, class: usize) {
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            self.note_slow_path(class);
            if self.view.is_invalidated() {
                self.flush_all();
            }
            self.view.refresh();
            let bin = &self.bins[class];
            if bin.push(block) {
                return;
            }
            self.make_room(class);
            if !bin.push(block) {
                let mut block = block;
                self.heap.count_back(class, 1);
                self.owner().flow.come_back(size_class::size(class));
                self.return_to_spans(slice::from_mut(&mut block));
            }
        }
    }

    /// Makes room in a full magazine: more of it, or half of it put away.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(crate) unsafe fn make_room(&self, class: usize) {
        let bin = &self.bins[class];
        let capacity = bin.capacity();
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            if capacity == 0 {
                self.first_magazine(class);
                return;
            }
            let owner = self.owner();
            if owner.patience != 0 {
                owner.patience -= 1;
            } else if self.grow(class) {
                return;
            } else if capacity < magazine_size::max_capacity(class)
                && self.owner().has_emptied(class)
            {
                self.owner().patience = PATIENCE;
            }
            self.flush(class, capacity.div_ceil(2));
        }
    }
}

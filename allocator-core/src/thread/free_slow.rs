//! The slow path of a free. A block of another owner goes to the remote cache. A
//! block of the thread found its magazine full: the magazine grows, or its older
//! half is flushed; if it still has no room, the block goes to its span. A view of
//! the page map that another thread invalidated leads here, too: then the thread
//! flushes all that it caches.

use core::slice;

use crate::base::misuse::{Location, Misuse, Report};
use crate::base::size_class;
use crate::spans::page_map;
use crate::thread::cache::Cache;
use crate::thread::magazine_size;

/// Flushes between an attempt to grow a magazine that failed and the next.
const PATIENCE: u8 = 24;

impl Cache {
    /// Takes a block of `class` that belongs to another owner, to send it there. If it was
    /// the last one to be taken, it is freed for the second time.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the block is free and small, and its entry names `class`
    /// and another owner.
    #[cold]
    pub(crate) unsafe fn pass_on(&self, block: *mut u8, class: usize, owner: u32) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            if self.owner().remote_cache.is_newest(block) {
                return freed_twice(block, class);
            }
            self.heap.count_back(class, 1);
            self.owner().trials[class].note_free(block);
            self.send(block, class, owner);
            self.flush_if_requested();
        }
    }

    /// Flushes all that the thread caches, if another thread requested it.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn flush_if_requested(&self) {
        if self.view.is_invalidated() {
            // SAFETY: [OWNER-ONLY] by the caller.
            unsafe { self.flush_all() };
        }
        self.view.refresh();
    }

    /// Takes back a block of `class` of this thread, which its magazine did not
    /// take. If it was the last one there, it is freed for the second time.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the block is free and small, and its entry names this heap
    /// and `class`.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn take_back(&self, block: *mut u8, class: usize) {
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            self.age(class);
            self.flush_if_requested();
            let bin = &self.bins[class];
            if bin.is_newest(block) {
                return freed_twice(block, class);
            }
            if bin.push(block) {
                return;
            }
            self.make_room(class);
            if !bin.push(block) {
                let mut block = block;
                self.heap.count_back(class, 1);
                self.return_to_spans(class, slice::from_mut(&mut block));
            }
        }
    }

    /// Makes room in a full magazine: grows it, or flushes half of it.
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

/// Notes that a block of `class`, which was freed just before, is freed again.
#[cold]
fn freed_twice(block: *mut u8, class: usize) {
    let location = Location { span: page_map::span_base(block), block: size_class::size(class) };
    Report { what: Misuse::DoubleFree, ptr: block, location, size: 0 }.note();
}

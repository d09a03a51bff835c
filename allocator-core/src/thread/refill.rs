//! The slow path of an allocation: an empty magazine is filled.

use core::ptr;

use crate::base::size_class::{self, CLASSES};
use crate::heaps::heap::Heap;
use crate::pages::arena;
use crate::remote::heap_refill::{self, Refill};
use crate::remote::span_source;
use crate::thread::bin::Slot;
use crate::thread::cache::Cache;
use crate::thread::magazine_size::{self, REFILL, Source};

impl Cache {
    /// A block of `class` when the magazine is empty; null when there is no
    /// memory.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn refill(&self, class: usize) -> *mut u8 {
        let bin = &self.bins[class];
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            self.note_slow_path(class);
            if bin.capacity() == 0 {
                if !self.first_magazine(class) {
                    return self.take_one(class);
                }
            } else {
                let doubled = (bin.capacity() * 2).min(magazine_size::refill_capacity(class));
                if doubled > bin.capacity() {
                    self.resize(class, doubled, Source::Unused);
                }
            }
            self.owner().filling = class;
            let trial = &mut self.owner().trials[class];
            let leases = trial.decide(class);
            let most =
                if leases { REFILL } else { magazine_size::first_fill(class).max(trial.drawn()) };
            let want = bin.capacity().min(most);
            let end = bin.first().wrapping_add(want);
            let got = if leases {
                self.take_leased(class, end, want)
            } else {
                self.take_shared(class, end, want)
            };
            let owner = self.owner();
            owner.filling = CLASSES;
            owner.emptied[class / 64] |= 1 << (class % 64);
            owner.flow.leave(got * size_class::size(class));
            debug_assert!(got <= bin.capacity());
            if bin.len() == 0 {
                if got == 0 {
                    return ptr::null_mut();
                }
                if got < want {
                    ptr::copy(end.wrapping_sub(got), bin.first(), got);
                }
                bin.set_len(got);
            }
            if !leases {
                self.owner().trials[class].note_drawn(bin.blocks());
            }
            bin.pop()
        }
    }

    /// Takes blocks of `class` from a heap, ours or the arena's. Where there is
    /// batches, that goes to the magazines: then there may be a block in this
    /// one; else the blocks are below `end`, and it is returned how many.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; `want` slots below `end` are free.
    unsafe fn take_from(&self, heap: &Heap, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: [OWNER-ONLY] by the caller, as for the slots.
        unsafe {
            loop {
                match heap_refill::take_or_receive(heap, class, end, want) {
                    Refill::Blocks(got) => return got,
                    Refill::Received(received) => self.read(received, heap),
                }
                if self.bins[class].len() != 0 {
                    return 0;
                }
            }
        }
    }

    /// Takes blocks from spans that the arena shares out, as [`take_from`]
    /// does.
    ///
    /// [`take_from`]: Self::take_from
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn take_shared(&self, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: [OWNER-ONLY] by the caller, as for the slots.
        unsafe {
            let shard = self.shard();
            match self.take_from(&arena::get(shard).heap, class, end, want) {
                0 if self.bins[class].len() == 0 => {
                    span_source::take_shared(shard, class, end, want)
                }
                got => got,
            }
        }
    }

    /// Takes blocks from the thread's spans, as [`take_from`] does, leasing
    /// another span if these have none.
    ///
    /// [`take_from`]: Self::take_from
    ///
    /// # Safety
    /// As there.
    unsafe fn take_leased(&self, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: by the caller; the span names our heap, and is in our hands.
        unsafe {
            let mut got = self.take_from(self.heap, class, end, want);
            if got == 0
                && self.bins[class].len() == 0
                && let Some(span) = span_source::find_span(self.shard(), class, self.id())
                && let Some(mut locked) = self.heap.lock()
            {
                locked.adopt(span);
                got = locked.take(class, end, want);
                self.heap.count_out(class, got);
                arena::release_spans(locked.unlock());
            }
            got
        }
    }

    /// One block for a class without a magazine.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn take_one(&self, class: usize) -> *mut u8 {
        let mut slot: Slot = ptr::null_mut();
        let end = (&raw mut slot).wrapping_add(1);
        // SAFETY: [OWNER-ONLY]; there is one slot below `end`.
        unsafe {
            let got = self.take_leased(class, end, 1);
            self.owner().flow.leave(got * size_class::size(class));
        }
        slot
    }
}

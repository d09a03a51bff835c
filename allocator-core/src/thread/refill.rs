//! The slow path of an allocation: refilling an empty magazine. The magazine first
//! grows, if it may. Then it takes blocks from the heap that the trial of the class
//! chose: the thread's, with the spans that it leases, or its arena's, whose spans
//! threads share. Received batches of that heap come first; their blocks fill the
//! magazines of all classes. Then come the heap's own spans with free blocks, and
//! then another span, which [`span_source`] finds.
//!
//! ```text
//!  refill ─┬─ leases: the thread's heap ─┬─ received batches ──► magazines
//!          └─ else: the arena's heap ────┼─ spans of the heap ─► the magazine
//!                                        └─ span_source ───────► the magazine
//! ```

use core::ptr;

use crate::base::size_class::{self, CLASSES};
use crate::heaps::heap::Heap;
use crate::pages::arena;
use crate::remote::span_source;
use crate::remote::take_from_heap::{self, Refill};
use crate::thread::bin::Slot;
use crate::thread::cache::Cache;
use crate::thread::magazine_size::{self, REFILL, Source};

impl Cache {
    /// Refills the magazine of `class`, which was empty, and takes a block from it.
    /// Null if there is no memory.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn refill(&self, class: usize) -> *mut u8 {
        let bin = &self.bins[class];
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            // A signal handler may have filled it meanwhile.
            if let Some(block) = bin.pop() {
                return block;
            }
            self.age(class);
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
            let mut got = if leases {
                self.take_leased(class, end, want)
            } else {
                self.take_shared(class, end, want)
            };
            if got == 0 && !leases && bin.len() == 0 {
                // There is no memory, but spans of an earlier lease may have blocks.
                got = self.take_from(self.heap, class, end, want);
            }
            let owner = self.owner();
            owner.filling = CLASSES;
            owner.emptied[class / 64] |= 1 << (class % 64);
            owner.flow.leave(got * size_class::size(class));
            self.heap.tally.took_small(got, got * size_class::size(class));
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
            bin.pop().unwrap_or(ptr::null_mut())
        }
    }

    /// Takes blocks of `class` from a heap, the thread's or the arena's. Received
    /// batches go to the magazines; if that leaves this one with blocks, returns 0.
    /// Otherwise writes the blocks below `end`, and returns how many.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the caller owns `want` slots below `end`.
    unsafe fn take_from(&self, heap: &Heap, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: [OWNER-ONLY] by the caller, as for the slots.
        unsafe {
            loop {
                match take_from_heap::take_or_receive(heap, class, end, want) {
                    Refill::Blocks(got) => return got,
                    Refill::Received(received) => self.receive(received, heap),
                }
                if self.bins[class].len() != 0 {
                    return 0;
                }
            }
        }
    }

    /// Like [`take_from`], from the shared spans of the arena, which gets another
    /// span if these have no block.
    ///
    /// [`take_from`]: Self::take_from
    ///
    /// # Safety
    /// As for [`take_from`].
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

    /// Like [`take_from`], from the spans of the thread, which leases another span
    /// if these have no block.
    ///
    /// [`take_from`]: Self::take_from
    ///
    /// # Safety
    /// As for [`take_from`].
    unsafe fn take_leased(&self, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: by the caller; the span names our heap, is detached, and is ours.
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

    /// Takes one block for a class without a magazine. Null if there is no memory.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn take_one(&self, class: usize) -> *mut u8 {
        let mut slot: Slot = ptr::null_mut();
        let end = (&raw mut slot).wrapping_add(1);
        // SAFETY: [OWNER-ONLY]; there is one slot below `end`.
        unsafe {
            let got = self.take_leased(class, end, 1);
            self.heap.tally.took_small(got, got * size_class::size(class));
            self.owner().flow.leave(got * size_class::size(class));
        }
        slot
    }
}

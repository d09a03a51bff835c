//! Sending remote frees to the heaps that own the blocks, in batches. Callers
//! hold no lock.

use core::ptr::{self, NonNull};

use crate::base::geometry::HEAP_IDS;
use crate::base::later;
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::sync;
use crate::heaps::heap::{Heap, LockedHeap, Millis};
use crate::heaps::heap_table;
use crate::heaps::remote_queue::{BATCH_BLOCKS, Batch, BatchContents};
use crate::pages::arena;
use crate::pages::metadata;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HEAP;
use crate::sys;

/// Least number of blocks of one owner that are pushed as a batch. For fewer, the
/// sender sets their bits itself if the owner's lock is free.
#[cfg(not(strata_loom))]
const BATCH_WORTHWHILE: usize = 32;
/// Small, for the models.
#[cfg(strata_loom)]
const BATCH_WORTHWHILE: usize = 2;

/// Depth of a remote queue at which a sender drains it for an owner that seems to
/// be asleep.
#[cfg(not(strata_loom))]
const DRAIN_IF_ASLEEP: u32 = 4;
/// Small, for the models.
#[cfg(strata_loom)]
const DRAIN_IF_ASLEEP: u32 = 2;

/// Depth at which a sender drains the queue in any case: some thousands of blocks.
/// The owner is awake, but does not allocate.
const DRAIN_ALWAYS: u32 = 256;

/// Empty batches that a thread keeps for later use.
const SPARE_MAX: usize = 8;

/// Empty batches: of one thread, or of a function while it runs.
pub(crate) struct BatchPool {
    list: *mut Batch,
    count: usize,
}

impl BatchPool {
    pub(crate) const fn new() -> Self {
        BatchPool { list: ptr::null_mut(), count: 0 }
    }

    fn get(&mut self) -> Option<NonNull<Batch>> {
        let Some(batch) = NonNull::new(self.list) else {
            return Some(metadata::alloc(size_of::<Batch>())?.cast());
        };
        // SAFETY: [BATCH-ONE-PLACE] batches on our list are ours.
        self.list = unsafe { batch.as_ref().with(|contents| contents.next) };
        // In the child of a fork, no batch of a vanished thread is in two places.
        sync::in_order();
        self.count -= 1;
        Some(batch)
    }

    /// A batch without blocks.
    pub(crate) fn get_empty(&mut self) -> Option<NonNull<Batch>> {
        let batch = self.get()?;
        // SAFETY: [BATCH-ONE-PLACE] the batch is ours.
        unsafe { batch.as_ref().with(|contents| contents.len = 0) };
        Some(batch)
    }

    /// Keeps an empty batch for later use.
    pub(crate) fn put(&mut self, batch: NonNull<Batch>) {
        if self.count == SPARE_MAX {
            // SAFETY: [BATCH-ONE-PLACE] the batch is ours, and came from `metadata`.
            unsafe { metadata::free(batch.cast(), size_of::<Batch>()) };
            return;
        }
        // SAFETY: [BATCH-ONE-PLACE] the batch is ours.
        unsafe { batch.as_ref().with(|contents| contents.next = self.list) };
        sync::in_order();
        self.list = batch.as_ptr();
        self.count += 1;
    }

    /// In the child of a fork, for a thread that vanished: counts the batches again.
    pub(crate) fn count_again(&mut self) {
        self.count = 0;
        let mut at = self.list;
        while let Some(batch) = NonNull::new(at) {
            self.count += 1;
            // SAFETY: [BATCH-ONE-PLACE] batches on our list are ours.
            at = unsafe { batch.as_ref().with(|contents| contents.next) };
        }
    }

    /// Frees all batches.
    pub(crate) fn empty(&mut self) {
        while let Some(batch) = NonNull::new(self.list) {
            // SAFETY: [BATCH-ONE-PLACE] batches on our list are ours, from `metadata`.
            unsafe {
                self.list = batch.as_ref().with(|contents| contents.next);
                sync::in_order();
                metadata::free(batch.cast(), size_of::<Batch>());
            }
        }
        self.count = 0;
    }

    /// Sends every block to the heap that owns it, a batch at a time. The blocks are
    /// small, allocated by us, and in no other place. Returns an owner of so many that a batch
    /// was worthwhile; [`NO_HEAP`] if there is none.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    pub(crate) unsafe fn send(&mut self, blocks: &mut [*mut u8]) -> u32 {
        mark_owners(blocks);
        let (mut left, mut last, mut many) = (blocks, NO_HEAP, NO_HEAP);
        while let Some(first) = left.first() {
            let owner = owner_in(*first);
            let Some(batch) = self.get() else {
                left.iter_mut().for_each(|block| *block = unmarked(*block));
                // SAFETY: by the caller.
                unsafe { resend(left) };
                return many;
            };
            let before = left.len();
            // SAFETY: [BATCH-ONE-PLACE] the batch is ours until it is pushed.
            left = unsafe { batch.as_ref().with(|batch| gather(batch, left)) };
            if before - left.len() >= BATCH_WORTHWHILE {
                many = owner;
            }
            // SAFETY: by the caller.
            unsafe { self.send_batch(owner, batch, owner == last) };
            last = owner;
        }
        many
    }

    /// Sends a batch of blocks that all seem to have this owner: by putting them into their
    /// spans if they are few, and were not gathered after `more` of that owner.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\] \[BATCH-ONE-PLACE\]
    pub(crate) unsafe fn send_batch(&mut self, owner: u32, batch: NonNull<Batch>, more: bool) {
        let heap = heap_table::get(owner);
        // SAFETY: [BATCH-ONE-PLACE] by the caller, as below.
        let few = !more && unsafe { batch.as_ref().with(|batch| batch.len < BATCH_WORTHWHILE) };
        let locked = heap.filter(|_| few).and_then(Heap::try_lock);
        if locked.is_none() && heap.is_some_and(|heap| self.push_batch(heap, batch)) {
            return;
        }
        // SAFETY: by the caller.
        unsafe { put_batch(locked.or_else(|| heap?.lock()), batch) };
        self.put(batch);
    }

    /// Pushes a batch. False if the queue is closed.
    fn push_batch(&mut self, heap: &Heap, batch: NonNull<Batch>) -> bool {
        let Ok(depth) = heap.push(batch) else { return false };
        // The time is read only now and then.
        if depth.is_multiple_of(DRAIN_IF_ASLEEP)
            && (depth >= DRAIN_ALWAYS || heap.observe_idle(sys::monotonic_ms() as Millis))
        {
            self.drain_sleeper(heap);
        }
        true
    }

    /// Drains a heap for its sleeping owner, if the lock is free. Returns whether there were
    /// batches.
    #[cold]
    pub(crate) fn drain_sleeper(&mut self, heap: &Heap) -> bool {
        heap.try_lock().is_some_and(|locked| self.drain(locked))
    }

    /// Like [`drain_sleeper`](Self::drain_sleeper), but waits for the lock: no batch
    /// is left that was pushed before.
    #[cold]
    pub(crate) fn drain_surely(&mut self, heap: &Heap) -> bool {
        heap.lock().is_some_and(|locked| self.drain(locked))
    }

    fn drain(&mut self, mut locked: LockedHeap<'_>) -> bool {
        let received = locked.drain();
        arena::release_spans(locked.unlock());
        self.recycle(received);
        !received.is_null()
    }

    /// Keeps drained batches for later use, and sends on the blocks that are left in
    /// them.
    pub(crate) fn recycle(&mut self, mut list: *mut Batch) {
        while let Some(batch) = NonNull::new(list) {
            // SAFETY: [BATCH-ONE-PLACE] drained batches are ours.
            list = unsafe {
                batch.as_ref().with(|contents| {
                    // SAFETY: [LIVE-PINS-SPAN] a block in a batch still pins its span.
                    resend(&contents.blocks[..contents.len]);
                    contents.next
                })
            };
            self.put(batch);
        }
    }
}

/// An address has no bits from this one on: there is room for the id of an owner, so that
/// grouping needs no array of them on the stack.
const OWNER_SHIFT: u32 = 48;

const _: () = assert!(HEAP_IDS <= 1 << (usize::BITS - OWNER_SHIFT));

/// Writes the owners of blocks into their pointers. An owner may change at any time, so
/// each is read once.
fn mark_owners(blocks: &mut [*mut u8]) {
    let entries = MAP.entries();
    for block in blocks {
        let owner = page_map::owner(entries.of(*block)) as usize;
        *block = block.map_addr(|addr| addr | owner << OWNER_SHIFT);
    }
}

/// The owner in a marked pointer.
fn owner_in(marked: *mut u8) -> u32 {
    (marked.addr() >> OWNER_SHIFT) as u32
}

/// The pointer without its mark.
fn unmarked(marked: *mut u8) -> *mut u8 {
    marked.map_addr(|addr| addr & ((1 << OWNER_SHIFT) - 1))
}

/// Gathers blocks of the first one's owner, as many as a batch holds. Returns the others,
/// in their order, as many are of the same span as the one before.
fn gather<'a>(batch: &mut BatchContents, marked: &'a mut [*mut u8]) -> &'a mut [*mut u8] {
    let owner = owner_in(marked[0]);
    let (mut at, mut members) = (0, 0);
    while at < marked.len() && members < BATCH_BLOCKS {
        let block = marked[at];
        if owner_in(block) == owner {
            batch.blocks[members] = unmarked(block);
            members += 1;
        } else {
            marked[at - members] = block;
        }
        at += 1;
    }
    batch.len = members;
    let others = at - members;
    if others != 0 {
        marked.copy_within(..others, members);
    }
    &mut marked[members..]
}

/// Puts the blocks of a batch into the spans of their owner, which is locked. Those that
/// have another owner by now are sent there, as are all without a lock.
///
/// # Safety
/// \[LIVE-PINS-SPAN\] \[BATCH-ONE-PLACE\]
unsafe fn put_batch(locked: Option<LockedHeap<'_>>, batch: NonNull<Batch>) {
    // SAFETY: by the caller.
    unsafe {
        batch.as_ref().with(|batch| {
            let blocks = &mut batch.blocks[..batch.len];
            let left = match locked {
                Some(locked) => put_away(locked, blocks),
                None => blocks.len(),
            };
            resend(&blocks[..left]);
        });
    }
}

/// Puts blocks into the spans of a locked heap, and unlocks it. Returns how many
/// belong to another heap; those are moved to the front.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
unsafe fn put_away(mut locked: LockedHeap<'_>, blocks: &mut [*mut u8]) -> usize {
    // SAFETY: by the caller.
    let left = unsafe { locked.put(blocks) };
    arena::release_spans(locked.unlock());
    left
}

/// Sends blocks whose page map entry was out of date when it was read.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
unsafe fn resend(blocks: &[*mut u8]) {
    for block in blocks {
        // SAFETY: by the caller.
        unsafe { send_one(*block) };
    }
}

/// Puts a block into its span, under the lock of the heap that the span names, and
/// tries again if the span has moved meanwhile. (A span moves a few times at most:
/// when it is abandoned, stolen or transferred.)
///
/// The span's own word decides, not the page map: whoever moves a span holds the
/// lock of the heap that the span names, so we wait for that lock. The entry names
/// the next heap a little earlier; a lock taken there would not help until the move
/// is done.
///
/// In a signal handler, the code that it interrupted may hold the lock. Then the block
/// waits until that has ended.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
pub(crate) unsafe fn send_one(block: *mut u8) {
    // SAFETY: by the caller, here and below.
    while let Some(heap) = unsafe { heap_of(block) } {
        let Some(locked) = heap.lock() else {
            // SAFETY: by the caller.
            return unsafe { later::keep_block(block) };
        };
        // SAFETY: as above.
        if unsafe { put_away(locked, &mut [block]) } == 0 {
            return;
        }
    }
}

/// The heap of a block's span. If the span is not in use, the block was freed
/// before: that is noted as misuse, and has no effect.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
unsafe fn heap_of(block: *mut u8) -> Option<&'static Heap> {
    // SAFETY: by the caller; what once was a span stays one.
    let id = unsafe { page_map::span_of(block).as_ref() }.heap();
    if id == NO_HEAP {
        let location = Location { span: 0, block: 0 };
        Report { what: Misuse::DoubleFree, ptr: block, location, size: 0 }.note();
        return None;
    }
    heap_table::get(id)
}

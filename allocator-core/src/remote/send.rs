//! Sending remote frees to the heaps that own the blocks, in batches. Callers
//! hold no lock.

use core::ptr::{self, NonNull};

use crate::base::geometry::HEAP_IDS;
use crate::base::later;
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::sync;
use crate::heaps::heap::{Heap, LockedHeap, Millis};
use crate::heaps::heap_table;
use crate::heaps::remote_queue::{BATCH_BLOCKS, Batch, Closed};
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

/// Blocks that are grouped by owner at a time.
const GROUP_MAX: usize = 256;

/// An id of a heap, in little room: a whole group of them is on the stack.
type OwnerId = u16;

const _: () = assert!(HEAP_IDS - 1 <= OwnerId::MAX as usize);

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
        self.count -= 1;
        Some(batch)
    }

    fn put(&mut self, batch: NonNull<Batch>) {
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

    /// Frees all batches.
    pub(crate) fn empty(&mut self) {
        while let Some(batch) = NonNull::new(self.list) {
            // SAFETY: [BATCH-ONE-PLACE] batches on our list are ours, from `metadata`.
            unsafe {
                self.list = batch.as_ref().with(|contents| contents.next);
                metadata::free(batch.cast(), size_of::<Batch>());
            }
        }
        self.count = 0;
    }

    /// Sends every block to the heap that owns it. The blocks are small, allocated
    /// by us, and in no other place.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    pub(crate) unsafe fn send(&mut self, blocks: &mut [*mut u8]) {
        for blocks in blocks.chunks_mut(GROUP_MAX) {
            // SAFETY: by the caller.
            unsafe { self.send_grouped(blocks) };
        }
    }

    /// Sends at most [`GROUP_MAX`] blocks, owner by owner. Those of one owner keep their
    /// order, as many are of the same span as the one before.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn send_grouped(&mut self, blocks: &mut [*mut u8]) {
        // An owner may change at any time, so each is read once.
        let entries = MAP.entries();
        let mut owners = [0; GROUP_MAX];
        for (owner, block) in owners.iter_mut().zip(&*blocks) {
            *owner = page_map::owner(entries.of(*block)) as OwnerId;
        }
        let mut left = blocks.len().min(GROUP_MAX);
        while left != 0 {
            let id = owners[0];
            if owners[..left].iter().all(|owner| *owner == id) {
                // SAFETY: by the caller, here and below.
                return unsafe { self.send_group(id.into(), &mut blocks[..left], true) };
            }
            let mut group = [ptr::null_mut(); BATCH_BLOCKS];
            let (mut members, mut others, mut all) = (0, 0, true);
            for at in 0..left {
                let (owner, block) = (owners[at], blocks[at]);
                if owner != id {
                    (owners[others], blocks[others]) = (owner, block);
                    others += 1;
                    continue;
                }
                if members == BATCH_BLOCKS {
                    // SAFETY: as above.
                    unsafe { self.send_group(id.into(), &mut group, false) };
                    (members, all) = (0, false);
                }
                group[members] = block;
                members += 1;
            }
            // SAFETY: as above.
            unsafe { self.send_group(id.into(), &mut group[..members], all) };
            left = others;
        }
    }

    /// Sends blocks that seem to have this owner; `all` that are at hand, or a part.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn send_group(&mut self, id: u32, blocks: &mut [*mut u8], all: bool) {
        let Some(heap) = heap_table::get(id) else {
            // SAFETY: by the caller.
            return unsafe { resend(blocks) };
        };
        let mut left = blocks.len();
        if all
            && left < BATCH_WORTHWHILE
            && let Some(locked) = heap.try_lock()
        {
            // SAFETY: by the caller. Blocks that are left have another owner by now.
            return unsafe {
                left = put_away(locked, blocks);
                resend(&blocks[..left]);
            };
        }
        while left != 0 {
            let len = left.min(BATCH_BLOCKS);
            let part = &mut blocks[left - len..left];
            // SAFETY: by the caller.
            unsafe {
                if !self.push_batch(heap, part) {
                    Self::put_locked(heap, part);
                }
            }
            left -= len;
        }
    }

    /// Pushes blocks as one batch. False if there is no memory for a batch, or the
    /// queue is closed.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn push_batch(&mut self, heap: &Heap, blocks: &[*mut u8]) -> bool {
        let Some(batch) = self.get() else { return false };
        // SAFETY: [BATCH-ONE-PLACE] the batch is ours until it is pushed.
        unsafe {
            batch.as_ref().with(|contents| {
                contents.blocks[..blocks.len()].copy_from_slice(blocks);
                contents.len = blocks.len();
            });
        }
        match heap.push(batch) {
            Ok(depth) => {
                if depth >= DRAIN_IF_ASLEEP
                    && (depth >= DRAIN_ALWAYS || heap.observe_idle(sys::monotonic_ms() as Millis))
                {
                    self.drain_sleeper(heap);
                }
                true
            }
            Err(Closed) => {
                self.put(batch);
                false
            }
        }
    }

    /// Puts blocks into their spans under the lock of their owner. Blocks that have
    /// another owner by now are sent there.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn put_locked(heap: &Heap, blocks: &mut [*mut u8]) {
        // SAFETY: by the caller.
        unsafe {
            let left = match heap.lock() {
                Some(locked) => put_away(locked, blocks),
                // What is to become of them is decided block by block.
                None => blocks.len(),
            };
            resend(&blocks[..left]);
        }
    }

    /// Drains a heap for its sleeping owner, if the lock is free.
    #[cold]
    pub(crate) fn drain_sleeper(&mut self, heap: &Heap) {
        if let Some(locked) = heap.try_lock() {
            self.drain(locked);
        }
    }

    /// Like [`drain_sleeper`](Self::drain_sleeper), but waits for the lock: no batch
    /// is left that was pushed before.
    #[cold]
    pub(crate) fn drain_surely(&mut self, heap: &Heap) {
        if let Some(locked) = heap.lock() {
            self.drain(locked);
        }
    }

    fn drain(&mut self, mut locked: LockedHeap<'_>) {
        let received = locked.drain();
        arena::release_spans(locked.unlock());
        self.recycle(received);
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

//! Spans move between heaps: from a thread that ends, or sleeps, to its arena,
//! and from there to a thread that needs them. On the way a span names its
//! next heap already and is in the hands of the one who moves it.
//!
//! No function holds two locks; each is called with none.

use core::ptr::{self, NonNull};

use crate::base::sync;
use crate::heaps::heap::{Heap, Purgeable};
use crate::heaps::heap_table;
use crate::heaps::remote_queue::Batch;
use crate::pages::arena;
use crate::remote::send::Batches;
use crate::spans::span::{DetachedSpans, Span};

/// Moves all spans of a heap to another, and closes its remote queue. Returns the
/// batches that was left; what is in it belongs elsewhere by now.
pub(crate) fn abandon(heap: &Heap, to: &Heap) -> *mut Batch {
    let mut detached = DetachedSpans::new();
    if let Some(mut locked) = heap.lock() {
        locked.transfer_all(to.id(), &mut detached);
        arena::release_spans(locked.unlock());
    }
    adopt_all(to, detached);
    let Some(mut locked) = heap.lock() else { return ptr::null_mut() };
    let batches = locked.close_remote_queue();
    // Some may have been in another's hand before. Now, no span names this heap
    // any more; whoever is refused from here on looks its owner up again.
    let mut detached = DetachedSpans::new();
    if sync::step("abandon_looks_again") {
        locked.transfer_all(to.id(), &mut detached);
    }
    arena::release_spans(locked.unlock());
    adopt_all(to, detached);
    batches
}

/// Puts spans that name `heap` on its lists, and gives empty ones back.
fn adopt_all(heap: &Heap, mut detached: DetachedSpans) {
    if detached.is_empty() {
        return;
    }
    let Some(mut locked) = heap.lock() else { return };
    // SAFETY: [HEAP-LOCKED] the spans name this heap, whose lock is held.
    unsafe {
        while let Some(span) = detached.pop() {
            locked.adopt_or_release(span);
        }
    }
    arena::release_spans(locked.unlock());
}

/// A span of `from` for the heap `to`, if it has one of the class with free
/// blocks. It is in the caller's hands.
pub(crate) fn transfer_one(from: &Heap, class: usize, to: u32) -> Option<NonNull<Span>> {
    let mut locked = from.lock()?;
    let batches = locked.drain();
    let span = locked.transfer_one(class, to);
    after(locked.unlock(), batches);
    span
}

/// Takes blocks from the spans of a heap, and from `fresh` if there is one.
///
/// # Safety
/// `want` slots below `end` are the caller's; `fresh` names the heap and is
/// in our hands.
pub(crate) unsafe fn take(
    heap: &Heap,
    fresh: Option<NonNull<Span>>,
    class: usize,
    end: *mut *mut u8,
    want: usize,
) -> usize {
    let Some(mut locked) = heap.lock() else { return 0 };
    let batches = locked.drain();
    // SAFETY: by the caller.
    let got = unsafe {
        if let Some(span) = fresh {
            locked.adopt(span);
        }
        locked.take(class, end, want)
    };
    heap.count_out(class, got);
    after(locked.unlock(), batches);
    got
}

/// What a heap gives: blocks, or the next batch of its batches, which is to be
/// read first.
pub(crate) enum Refill {
    /// So many blocks were taken out of the bitmaps.
    Blocks(usize),
    /// To be read, and then put back by [`finish_received`].
    Received(NonNull<Batch>),
}

/// As [`take`], but where there is batches, it is not put away: whoever reads it
/// takes what he needs, without a look at the blocks' spans.
///
/// # Safety
/// `want` slots below `end` are the caller's.
pub(crate) unsafe fn take_or_receive(
    heap: &Heap,
    class: usize,
    end: *mut *mut u8,
    want: usize,
) -> Refill {
    let Some(mut locked) = heap.lock() else { return Refill::Blocks(0) };
    if let Some(received) = locked.next_received() {
        heap.advance_epoch();
        arena::release_spans(locked.unlock());
        return Refill::Received(received);
    }
    // SAFETY: by the caller.
    let got = unsafe { locked.take(class, end, want) };
    heap.count_out(class, got);
    arena::release_spans(locked.unlock());
    Refill::Blocks(got)
}

/// Puts away what is left in a received batch of `heap`'s.
pub(crate) fn finish_received(heap: &Heap, received: NonNull<Batch>, batches: &mut Batches) {
    // SAFETY: [BATCH-ONE-PLACE] the received batch is in our hands.
    let left = unsafe {
        received.as_ref().with(|contents| {
            contents.next = ptr::null_mut();
            contents.len
        })
    };
    if left != 0
        && let Some(mut locked) = heap.lock()
    {
        locked.put_batches(received.as_ptr());
        arena::release_spans(locked.unlock());
    }
    batches.recycle(received.as_ptr());
}

/// Has a span note from now on whether blocks are taken there.
pub(crate) fn start_watching(span: NonNull<Span>) {
    // SAFETY: what once was a span stays one.
    let span = unsafe { span.as_ref() };
    if let Some(locked) = heap_table::get(span.heap()).and_then(Heap::try_lock) {
        locked.start_watching(span);
        arena::release_spans(locked.unlock());
    }
}

/// Waits for the heap of a span. False: it was lost in a fork, and will not come.
pub(crate) fn wait_for_heap_of(span: NonNull<Span>) -> bool {
    // SAFETY: what once was a span stays one.
    let heap = heap_table::get(unsafe { span.as_ref() }.heap());
    let locked = heap.and_then(Heap::lock);
    locked.map(|locked| arena::release_spans(locked.unlock())).is_some()
}

/// Bytes of a span that are free. `None`: it cannot be said now.
pub(crate) fn free_bytes(span: NonNull<Span>) -> Option<usize> {
    // SAFETY: what once was a span stays one.
    let span = unsafe { span.as_ref() };
    let locked = heap_table::get(span.heap())?.try_lock()?;
    let bytes = locked.free_bytes(span);
    arena::release_spans(locked.unlock());
    bytes
}

/// What became of a span that was looked at for memory to give back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SpanPurge {
    /// It has none.
    No,
    /// It may have some the next time.
    Later,
    /// So many units went back.
    Units(usize),
}

/// Gives back what memory a span has without a live block, in whole pages of
/// `page` units: `give` does that, and says which units it was. Meanwhile the
/// span is in our hand, so that nobody takes a block from there. If its heap is
/// closed then, it goes to the heap `to`. With `rested`, a span of which blocks were
/// taken since the last time is left alone.
pub(crate) fn purge_span(
    span: NonNull<Span>,
    page: usize,
    rested: bool,
    to: &Heap,
    give: impl FnOnce(*mut u8, u64) -> u64,
) -> SpanPurge {
    // SAFETY: what once was a span stays one.
    let Some(heap) = heap_table::get(unsafe { span.as_ref() }.heap()) else { return SpanPurge::No };
    let Some(mut locked) = heap.try_lock() else { return SpanPurge::Later };
    let purgeable = locked.detach_purgeable(span, page, rested);
    arena::release_spans(locked.unlock());
    let (base, units) = match purgeable {
        Purgeable::No => return SpanPurge::No,
        Purgeable::Later => return SpanPurge::Later,
        Purgeable::Units { base, units } => (base, units),
    };
    let given = give(base, units);
    // A heap that was lost in a fork has lost its spans, too.
    let Some(mut locked) = heap.lock() else { return SpanPurge::No };
    // SAFETY: the span is in our hand, and names this heap until we say otherwise.
    let detached = unsafe { locked.reattach_purged(span, given, to.id()) };
    arena::release_spans(locked.unlock());
    adopt_all(to, detached);
    SpanPurge::Units(given.count_ones() as usize)
}

/// Moves a heap's spans of a class with free blocks to another, if its lock
/// is free. Says whether there were any.
pub(crate) fn steal(heap: &Heap, to: &Heap, class: usize) -> bool {
    let Some(mut locked) = heap.try_lock() else { return false };
    let batches = locked.drain();
    let mut detached = DetachedSpans::new();
    locked.transfer_class(class, to.id(), &mut detached);
    let found = !detached.is_empty();
    after(locked.unlock(), batches);
    adopt_all(to, detached);
    found
}

fn after(empty: DetachedSpans, received: *mut Batch) {
    arena::release_spans(empty);
    if !received.is_null() {
        let mut batches = Batches::new();
        batches.recycle(received);
        batches.empty();
    }
}

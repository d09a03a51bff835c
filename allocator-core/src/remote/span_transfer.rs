//! Spans move between heaps: abandoned by a thread that ends, or stolen from one
//! that sleeps, they go to an arena, and from there to a thread that needs them. On
//! the way a span is detached: it names its next heap already, is on no list, and
//! belongs to the thread that moves it.
//!
//! No function holds two locks, and each is called with none held.

use core::ptr::{self, NonNull};

use crate::base::sync;
use crate::heaps::heap::{Heap, LockedHeap, Purgeable};
use crate::heaps::heap_table;
use crate::heaps::remote_queue::Batch;
use crate::pages::arena;
use crate::remote::take_from_heap::release_and_recycle;
use crate::spans::span::{DetachedSpans, Span};

/// Moves all spans of a heap to another, and closes its remote queue. Returns the
/// batches that were in it; blocks that are left in them have another owner by now.
pub(crate) fn abandon(heap: &Heap, to: &Heap) -> *mut Batch {
    let mut detached = DetachedSpans::new();
    if let Some(mut locked) = heap.lock() {
        locked.transfer_all(to.id(), &mut detached);
        arena::release_spans(locked.unlock());
    }
    adopt_all(to, detached);
    let Some(mut locked) = heap.lock() else { return ptr::null_mut() };
    let batches = locked.close_remote_queue();
    // Another thread may have held spans detached during the first pass. Now no span
    // names this heap any more, and a sender that finds the queue closed looks the
    // owner up again.
    let mut detached = DetachedSpans::new();
    if sync::step("abandon_looks_again") {
        locked.transfer_all(to.id(), &mut detached);
    }
    arena::release_spans(locked.unlock());
    adopt_all(to, detached);
    batches
}

/// Puts detached spans that name `heap` on its lists, and releases empty ones.
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

/// Transfers a span with free blocks of `class` from one heap to the heap `to`, if
/// there is one. It is detached, and the caller's.
pub(crate) fn transfer_one(from: &Heap, class: usize, to: u32) -> Option<NonNull<Span>> {
    let mut locked = from.lock()?;
    let batches = locked.drain();
    let span = locked.transfer_one(class, to);
    release_and_recycle(locked.unlock(), batches);
    span
}

/// Makes a span record from now on whether blocks are taken from it.
pub(crate) fn start_watching(span: NonNull<Span>) {
    try_with_heap_of(span, |heap, span| heap.start_watching(span));
}

/// Waits until the heap of a span can be locked. False if it was lost in a fork and
/// never can.
pub(crate) fn wait_for_heap_of(span: NonNull<Span>) -> bool {
    // SAFETY: [CHUNK-SPANS] span records are never freed.
    let heap = heap_table::get(unsafe { span.as_ref() }.heap());
    let locked = heap.and_then(Heap::lock);
    locked.map(|locked| arena::release_spans(locked.unlock())).is_some()
}

/// Bytes of a span's free blocks; `None` if its heap is locked now.
pub(crate) fn free_bytes(span: NonNull<Span>) -> Option<usize> {
    try_with_heap_of(span, |heap, span| heap.free_bytes(span))?
}

/// Bytes of a span in use that can be purged, in whole pages of `page` units; `None` if its heap
/// is locked now.
pub(crate) fn purgeable_bytes(span: NonNull<Span>, page: usize) -> Option<usize> {
    try_with_heap_of(span, |heap, span| heap.purgeable_bytes(span, page))?
}

/// Calls `f` with a span and its heap, unless that is locked now.
fn try_with_heap_of<R>(
    span: NonNull<Span>,
    f: impl FnOnce(&LockedHeap<'_>, &Span) -> R,
) -> Option<R> {
    // SAFETY: [CHUNK-SPANS] span records are never freed.
    let span = unsafe { span.as_ref() };
    let locked = heap_table::get(span.heap())?.try_lock()?;
    let answer = f(&locked, span);
    arena::release_spans(locked.unlock());
    Some(answer)
}

/// What purging a span in use came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SpanPurge {
    /// The span has no whole page without a live block.
    No,
    /// It may have one the next time.
    Later,
    /// So many units were purged.
    Units(usize),
}

/// Purges the units of a span in use that hold no live block, in whole pages of
/// `page` units: `give` does that, and returns the units that it purged. Meanwhile
/// the span is detached, so that nobody takes a block from it. If its heap was
/// closed by then, the span goes to the heap `to`. With `rested`, a span from which
/// blocks were taken since the last time is left alone.
pub(crate) fn purge_span(
    span: NonNull<Span>,
    page: usize,
    rested: bool,
    to: &Heap,
    give: impl FnOnce(*mut u8, u64) -> u64,
) -> SpanPurge {
    // SAFETY: [CHUNK-SPANS] span records are never freed.
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
    // SAFETY: we detached the span, and it names this heap until we change that.
    let detached = unsafe { locked.reattach_purged(span, given, to.id()) };
    arena::release_spans(locked.unlock());
    adopt_all(to, detached);
    SpanPurge::Units(given.count_ones() as usize)
}

/// Moves a sparse span to the heap `to`, if its heap has another with free blocks. The owner
/// takes no more blocks there, and what is freed there stays in the span. Returns its loose bytes.
pub(crate) fn evict(span: NonNull<Span>, to: &Heap) -> Option<usize> {
    // SAFETY: [CHUNK-SPANS] span records are never freed.
    let id = unsafe { span.as_ref() }.heap();
    // In a signal handler that interrupts `to`, the span would find no heap.
    if id == to.id() || to.is_held_here() {
        return None;
    }
    let mut locked = heap_table::get(id)?.try_lock()?;
    let mut detached = DetachedSpans::new();
    let loose = locked.evict(span, to.id(), &mut detached);
    arena::release_spans(locked.unlock());
    adopt_all(to, detached);
    loose
}

/// Moves a heap's spans with free blocks of `class` to another heap, if its lock is
/// free. Returns whether there were any.
pub(crate) fn steal(heap: &Heap, to: &Heap, class: usize) -> bool {
    let Some(mut locked) = heap.try_lock() else { return false };
    let batches = locked.drain();
    let mut detached = DetachedSpans::new();
    locked.transfer_class(class, to.id(), &mut detached);
    let found = !detached.is_empty();
    release_and_recycle(locked.unlock(), batches);
    adopt_all(to, detached);
    found
}

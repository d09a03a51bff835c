//! Taking blocks from a heap for a refill: bits of its spans, or a received batch.
//! These functions lock the heap; callers hold no lock.

use core::ptr::{self, NonNull};

use crate::heaps::heap::Heap;
use crate::heaps::remote_queue::Batch;
use crate::pages::arena;
use crate::remote::send::BatchPool;
use crate::spans::span::{DetachedSpans, Span};

/// Takes blocks from the spans of a heap, to which `fresh` is added first if there
/// is one. Returns how many; `None` if the heap cannot be locked, for a signal handler.
///
/// # Safety
/// `want` slots below `end` are the caller's. `fresh` names the heap, is detached,
/// and the caller's.
pub(crate) unsafe fn take(
    heap: &Heap,
    fresh: Option<NonNull<Span>>,
    class: usize,
    end: *mut *mut u8,
    want: usize,
) -> Option<usize> {
    let mut locked = heap.lock()?;
    let batches = locked.drain();
    // SAFETY: by the caller.
    let got = unsafe {
        if let Some(span) = fresh {
            locked.adopt(span);
        }
        locked.take(class, end, want)
    };
    heap.count_out(class, got);
    release_and_recycle(locked.unlock(), batches);
    Some(got)
}

/// What a heap hands out: blocks of its spans, or a received batch, which comes
/// first.
pub(crate) enum Refill {
    /// So many blocks, taken from the bitmaps.
    Blocks(usize),
    /// A batch to take blocks from; what is left goes to [`finish_received`].
    Received(NonNull<Batch>),
}

/// Like [`take`], but does not drain the remote queue: the next received batch is
/// returned, and the caller takes the blocks that it needs straight from there,
/// without a look at their spans.
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

/// Puts the blocks that are left in a received batch of `heap` into their spans.
pub(crate) fn finish_received(heap: &Heap, received: NonNull<Batch>, batches: &mut BatchPool) {
    // SAFETY: [BATCH-ONE-PLACE] the received batch is ours.
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

/// Releases emptied spans, and recycles drained batches.
pub(super) fn release_and_recycle(empty: DetachedSpans, received: *mut Batch) {
    arena::release_spans(empty);
    if !received.is_null() {
        let mut batches = BatchPool::new();
        batches.recycle(received);
        batches.empty();
    }
}

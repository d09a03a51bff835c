//! Finds a span when the magazine and the thread's own spans are empty. Spans of
//! arenas come first, then those of sleeping threads, and fresh memory last.

use core::ptr::NonNull;

use crate::base::ordering;
use crate::base::sync::AtomicU32;
use crate::heaps::heap::{Heap, Millis};
use crate::heaps::heap_table;
use crate::pages::arena;
use crate::reclaim::purge;
use crate::remote::span_transfer;
use crate::remote::take_from_heap;
use crate::spans::span::Span;
use crate::sys;

/// Threads examined for spans to steal, before fresh memory is taken.
const LOOKS: u32 = 8;

/// Arenas asked for a span beside a thread's own, before fresh memory is taken.
const OTHERS: usize = 7;

/// Counts searches: each asks other arenas than the last one.
static TURN: AtomicU32 = AtomicU32::new(0);

/// The thread at which the next thief starts.
static THIEF: AtomicU32 = AtomicU32::new(0);

/// Finds a span of `class` and detaches it, with `to` as its heap: one of this arena or
/// of some others; else one of a sleeping thread; else a fresh one.
pub(crate) fn find_span(shard: usize, class: usize, to: u32) -> Option<NonNull<Span>> {
    let shards = arena::count();
    let others = shards - 1;
    let turn = TURN.fetch_add(1, ordering::shard_cursor()) as usize * OTHERS;
    // The shard itself, then the others from where the last search stopped.
    let transfer = |i| {
        let at = if i == 0 { 0 } else { 1 + (turn + i) % others };
        let heap = &arena::get((shard + at) % shards).heap;
        heap.may_have(class).then(|| span_transfer::transfer_one(heap, class, to))?
    };
    let fresh = || arena::claim_span(shard, class, to);
    (0..=others.min(OTHERS))
        .find_map(transfer)
        .or_else(|| steal(shard, class, to).then(|| transfer(0))?)
        .or_else(fresh)
        .or_else(|| purge::make_room().then(fresh)?)
}

/// Takes blocks from the arena's spans; if they have none, finds a span.
///
/// # Safety
/// `want` slots below `end` are the caller's.
pub(crate) unsafe fn take_shared(
    shard: usize,
    class: usize,
    end: *mut *mut u8,
    want: usize,
) -> usize {
    let heap = &arena::get(shard).heap;
    // In a signal handler that interrupts it, a span would find no heap.
    if heap.is_held_here() {
        return 0;
    }
    // SAFETY: by the caller.
    let mut got = unsafe { take_from_heap::take(heap, None, class, end, want) };
    if got == Some(0)
        && let Some(span) = find_span(shard, class, heap.id())
    {
        // SAFETY: by the caller; the span names the heap.
        got = unsafe { take_from_heap::take(heap, Some(span), class, end, want) };
    }
    got.unwrap_or(0)
}

/// Examines a few threads. Spans of `class` with free blocks move from those that sleep
/// to the arena. Returns whether there were any.
fn steal(shard: usize, class: usize, me: u32) -> bool {
    let ids = heap_table::thread_ids();
    let count = ids.end - ids.start;
    let (mut stolen, to) = (false, &arena::get(shard).heap);
    let looks = LOOKS.min(count.saturating_sub(1));
    if looks == 0 || to.is_held_here() {
        return false;
    }
    let mut now = None;
    let mut is_idle =
        |heap: &Heap| heap.observe_idle(*now.get_or_insert_with(|| sys::monotonic_ms() as Millis));
    let first = THIEF.fetch_add(looks, ordering::steal_cursor());
    for look in 0..looks {
        let id = ids.start + first.wrapping_add(look) % count;
        let other = heap_table::get(id).filter(|heap| id != me && heap.may_have(class));
        if let Some(heap) = other.filter(|heap| is_idle(heap)) {
            stolen |= span_transfer::steal(heap, to, class);
        }
    }
    stolen
}

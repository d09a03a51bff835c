//! Heaps whose owner sleeps: what other threads sent them, and what they received and did
//! not read, is put into its spans, so that it can be purged.

use crate::heaps::heap::{Heap, Millis};
use crate::pages::arena;
use crate::pages::usage;
use crate::remote::send::BatchPool;
use crate::sys;
use crate::thread::registry;

/// Drains the heaps of threads that were idle since the last call, or used only their
/// magazines, and those of arenas from which nobody drew. Asks these threads to flush what
/// they keep: a block in a magazine holds its span. Returns how many bytes are free by it.
pub(super) fn drain() -> usize {
    let now = sys::monotonic_ms() as Millis;
    let threads = registry::threads().filter(|(heap, _)| heap.observe_idle(now));
    drain_heaps(threads.map(|(heap, cache)| {
        cache.request_flush();
        heap
    })) + drain_arenas()
}

/// Drains the heaps of arenas from which nobody drew since the last call. Returns how many
/// bytes are free by it.
pub(super) fn drain_arenas() -> usize {
    let now = sys::monotonic_ms() as Millis;
    let arenas = arena::all().iter().map(|arena| &arena.heap);
    drain_heaps(arenas.filter(|heap| heap.observe_idle(now)))
}

/// Drains the arenas whose lock is free. Returns whether there were any batches.
pub(super) fn drain_arenas_now() -> bool {
    let mut batches = BatchPool::new();
    let mut any = false;
    for arena in arena::all() {
        any |= batches.drain_sleeper(&arena.heap);
    }
    batches.empty();
    any
}

fn drain_heaps<'a>(heaps: impl Iterator<Item = &'a Heap>) -> usize {
    let before = usage::dirty();
    let mut batches = BatchPool::new();
    let mut any = false;
    for heap in heaps {
        any |= batches.drain_sleeper(heap);
    }
    batches.empty();
    if any {
        usage::search_again();
    }
    usage::dirty().saturating_sub(before)
}

/// Drains the heaps of all threads and arenas. Asks all threads to flush what they keep.
pub(super) fn drain_all() {
    registry::threads().for_each(|(_, cache)| cache.request_flush());
    let mut batches = BatchPool::new();
    let arenas = arena::all().iter().map(|arena| &arena.heap);
    for heap in arenas.chain(registry::heaps()) {
        batches.drain_surely(heap);
    }
    batches.empty();
}

//! The table of heaps: from the owner in an entry of the page map to its heap.
//! Ids are never 0. Arenas have the first ids, thread caches the rest. A heap
//! stays in the table forever, so an old id still leads to its heap.

use core::ops::Range;

use crate::base::directory::Address;
use crate::base::geometry::{ARENA_IDS, HEAP_IDS};
use crate::base::ordering;
use crate::base::published::Published;
use crate::base::sync::AtomicU32;
use crate::heaps::heap::Heap;

/// The owner in the entries of huge blocks. No heap has this id.
pub(crate) const HUGE_OWNER: u32 = (1 << 24) - 1;

static HEAPS: [Published<Heap>; HEAP_IDS] = [const { Published::new() }; HEAP_IDS];

/// The next id for the heap of a thread.
static NEXT: AtomicU32 = AtomicU32::new(FIRST);

/// The first id of a thread's heap.
pub(crate) const FIRST: u32 = ARENA_IDS + 1;

/// Where the next id is, for readers outside of the process.
pub(crate) const fn place_of_next() -> Address {
    Address::of(&raw const NEXT)
}

/// Allocates an id for the heap of one more thread, if one is left.
pub(crate) fn allocate_id() -> Option<u32> {
    let id = NEXT.fetch_add(1, ordering::heap_ids());
    if id as usize >= HEAP_IDS {
        NEXT.fetch_sub(1, ordering::heap_ids());
        return None;
    }
    Some(id)
}

/// The ids of all thread heaps so far. The heap of a thread that is starting
/// may not be published yet.
pub(crate) fn thread_ids() -> Range<u32> {
    FIRST..NEXT.load(ordering::heap_ids()).min(HEAP_IDS as u32)
}

/// The heap with this id, if there is one.
#[inline]
pub(crate) fn get(id: u32) -> Option<&'static Heap> {
    HEAPS.get(id as usize)?.get()
}

/// Publishes a heap under its id.
pub(crate) fn publish(heap: &'static Heap) {
    HEAPS[heap.id() as usize].publish(heap);
}

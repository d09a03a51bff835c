//! Who is who: from the owner named in an entry to its heap. Ids are never 0;
//! arenas have the first ones, thread caches the rest. A heap, once here,
//! stays for ever, so an old id leads to a heap that answers for it.

use core::ops::Range;

use crate::base::geometry::{ARENA_IDS, HEAP_IDS};
use crate::base::ordering;
use crate::base::published::Published;
use crate::base::sync::AtomicU32;
use crate::heaps::heap::Heap;

/// The owner in entries of huge blocks: nobody's heap.
pub(crate) const HUGE_OWNER: u32 = (1 << 24) - 1;

static HEAPS: [Published<Heap>; HEAP_IDS] = [const { Published::new() }; HEAP_IDS];

/// The next id of a thread.
static NEXT: AtomicU32 = AtomicU32::new(ARENA_IDS + 1);

/// An id for one more thread, if there is one left.
pub(crate) fn allocate_id() -> Option<u32> {
    let id = NEXT.fetch_add(1, ordering::heap_ids());
    if id as usize >= HEAP_IDS {
        NEXT.fetch_sub(1, ordering::heap_ids());
        return None;
    }
    Some(id)
}

/// The ids of all threads there ever were. (Of those being born, the heap may
/// not be here yet.)
pub(crate) fn thread_ids() -> Range<u32> {
    ARENA_IDS + 1..NEXT.load(ordering::heap_ids()).min(HEAP_IDS as u32)
}

/// The heap of an id, if there is one.
#[inline]
pub(crate) fn get(id: u32) -> Option<&'static Heap> {
    HEAPS.get(id as usize)?.get()
}

/// Publishes a heap under its id.
pub(crate) fn publish(heap: &'static Heap) {
    HEAPS[heap.id() as usize].publish(heap);
}

//! Who is who: from the owner named in an entry to its home. Ids are never 0;
//! arenas have the first ones, thread caches the rest. A home, once here,
//! stays for ever, so an old id leads to a home that answers for it.

use core::ops::Range;

use crate::base::ordering;
use crate::base::published::Place;
use crate::base::sync::AtomicU32;
use crate::heaps::heap::{ARENA_IDS, Home};

/// Ids in all. Threads beyond that many at once have no cache.
pub(crate) const IDS: usize = 32 << 10;
/// The owner in entries of huge blocks: nobody's home.
pub(crate) const NOBODY: u32 = (1 << 24) - 1;

static HOMES: [Place<Home>; IDS] = [const { Place::new() }; IDS];

/// The next id of a thread.
static NEXT: AtomicU32 = AtomicU32::new(ARENA_IDS + 1);

/// An id for one more thread, if there is one left.
pub(crate) fn new_id() -> Option<u32> {
    let id = NEXT.fetch_add(1, ordering::hint());
    if id as usize >= IDS {
        NEXT.fetch_sub(1, ordering::hint());
        return None;
    }
    Some(id)
}

/// The ids of all threads there ever were. (Of those being born, the home may
/// not be here yet.)
pub(crate) fn thread_ids() -> Range<u32> {
    ARENA_IDS + 1..NEXT.load(ordering::hint()).min(IDS as u32)
}

/// The home of an id, if there is one.
#[inline]
pub(crate) fn get(id: u32) -> Option<&'static Home> {
    HOMES.get(id as usize)?.get()
}

/// Publishes a home under its id.
pub(crate) fn publish(home: &'static Home) {
    HOMES[home.id() as usize].publish(home);
}

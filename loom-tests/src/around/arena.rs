//! Replaces the arena: empty spans are released to the chunk.

use crate::base::bits;
use crate::base::geometry::{CHUNK, GRANULE};
use crate::current::Current;
use crate::heaps::heap;
use crate::model;
use crate::pages::free_space_index::FreeSpaceIndex;
use crate::spans::granules::Granules;
use crate::spans::span::DetachedSpans;

/// The granules of the chunk, and the index of the free ones.
pub(crate) struct FreeSpace {
    pub(crate) granules: Granules,
    pub(crate) index: FreeSpaceIndex,
}

thread_local! {
    static FREE: Current<FreeSpace> = const { Current::none() };
}

/// Sets the free space of this execution.
pub(crate) fn set(free: &FreeSpace) {
    FREE.with(|current| current.set(free));
}

/// As in the allocator: retires the spans and returns their granules.
pub(crate) fn release_spans(mut empty: DetachedSpans) {
    // SAFETY: the spans have left their heap; nothing else refers to them.
    while let Some(span) = unsafe { empty.pop() } {
        model::note("retired");
        // SAFETY: likewise.
        let (base, bytes, _holes) = unsafe { heap::clear_owner(span) };
        let first = base.addr() % CHUNK / GRANULE;
        let bits = bits::mask(first, bytes / GRANULE);
        let free = FREE.with(Current::get);
        free.index.give_back(0, &free.granules, bits, bits);
    }
}

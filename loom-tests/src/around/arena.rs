//! Replaces the arena: empty spans are released to the world's chunk.

use crate::base::bits;
use crate::base::geometry::{CHUNK, GRANULE};
use crate::heaps::heap;
use crate::model;
use crate::spans::span::DetachedSpans;
use crate::world::world;

/// As in the allocator: retires the spans and returns their granules.
pub(crate) fn release_spans(mut empty: DetachedSpans) {
    // SAFETY: the spans have left their heap; nothing else refers to them.
    while let Some(span) = unsafe { empty.pop() } {
        model::note("retired");
        // SAFETY: likewise.
        let (base, bytes, _holes) = unsafe { heap::clear_owner(span) };
        let first = base.addr() % CHUNK / GRANULE;
        let bits = bits::mask(first, bytes / GRANULE);
        world().free_space.give_back(0, &world().granules, bits, bits);
    }
}

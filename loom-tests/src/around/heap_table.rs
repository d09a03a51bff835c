//! Replaces the heap table: heaps by id.

use crate::heaps::heap::Heap;
use crate::world::world;

/// The heap of an id, if there is one.
pub(crate) fn get(id: u32) -> Option<&'static Heap> {
    world().heaps.get((id as usize).checked_sub(1)?)
}

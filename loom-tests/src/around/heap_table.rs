//! Homes by id.

use crate::heaps::heap::Home;
use crate::world::world;

/// The home of an id, if there is one.
pub(crate) fn get(id: u32) -> Option<&'static Home> {
    world().homes.get((id as usize).checked_sub(1)?)
}

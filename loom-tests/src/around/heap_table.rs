//! Replaces the heap table: heaps by id.

use crate::current::Current;
use crate::heaps::heap::Heap;

thread_local! {
    static HEAPS: Current<[Heap]> = const { Current::none() };
}

/// Sets the heaps of this execution, whose ids count from 1.
pub(crate) fn set(heaps: &[Heap]) {
    HEAPS.with(|current| current.set(heaps));
}

/// The heap of an id, if there is one.
pub(crate) fn get(id: u32) -> Option<&'static Heap> {
    HEAPS.with(Current::get).get((id as usize).checked_sub(1)?)
}

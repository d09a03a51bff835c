//! Replaces the address space: one chunk, which is mapped or not.

use crate::base::geometry::CHUNK;
use crate::base::ordering;
use crate::base::sync::AtomicBool;
use crate::spans::page_map::MAP;
use crate::sys;

/// Whether the chunk is free to be mapped. Changed as under the lock of the address space.
static UNMAPPED: AtomicBool = AtomicBool::new(false);

/// Chunks that are mapped, and the caller's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    pub(crate) at: usize,
    pub(crate) dirty: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    Later,
}

pub(crate) fn is_held_here() -> bool {
    false
}

/// There are no spare chunks.
pub(super) fn reuse(_: usize, _: usize, _: usize, _: Charge) -> Option<Mapped> {
    None
}

/// Maps the chunk, if it is not mapped.
pub(super) fn map(_: usize, _: usize, _: usize, charge: Charge) -> Option<Mapped> {
    assert!(charge == Charge::Later);
    let taken = UNMAPPED.compare_exchange(
        true,
        false,
        ordering::lock_acquire(),
        ordering::lock_peek(),
    );
    taken.is_ok().then_some(Mapped { at: 0, dirty: 0 })
}

/// Never in a model.
pub(crate) fn keep(_: usize, _: usize, _: usize) {
    unreachable!()
}

/// Unmaps the chunk. Returns how many bytes still hold memory.
///
/// # Safety
/// Nobody uses the memory any more.
pub(crate) unsafe fn unmap(at: usize, count: usize, bytes: usize) -> usize {
    assert_eq!((at, count, bytes), (0, 1, CHUNK));
    // SAFETY: by the caller.
    assert!(unsafe { sys::purge(MAP.chunk_base(0), CHUNK) });
    UNMAPPED.store(true, ordering::lock_release());
    0
}

/// Decides nothing.
pub(crate) fn mapped() -> usize {
    0
}

/// The chunks in use below `to`, downwards. One that is not mapped has no granules to claim.
pub(crate) fn in_use_down(from: usize, to: usize) -> impl Iterator<Item = usize> {
    (from..to).rev()
}

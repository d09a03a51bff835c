//! The places of guarded blocks: as many slots side by side as the mappings of the process allow. A
//! slot has room for the largest small block, and a guard behind it that is as large, so that all
//! ends are aligned alike. A block lies at the end of its slot, in as many pages as it needs; all
//! else has no access.
//!
//! ```text
//!  │   guard   │ slot 0  ▒▒block│   guard   │ slot 1     block│   guard   │ ···
//!                        └ page ┘           └──── 32 KiB ─────┘
//! ```
//!
//! Of all slots at most half have a block. Of the others the one is taken that was freed first, so
//! that an address is not soon used again.

use crate::base::geometry::{CHUNK, CHUNK_GRANULES, SMALL_MAX};
use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::sync::{self, AtomicBool, AtomicUsize};
use crate::heaps::heap_table;
use crate::pages::address_space;
use crate::spans::page_map::{self, MAP};
use crate::sys;
use core::ops::ControlFlow;

/// Most slots.
pub(super) const MOST: usize = 2 * MOST_BLOCKS;

/// Most blocks in use.
const MOST_BLOCKS: usize = 1000;

/// Most slots where addresses are limited: the program may need them.
const FEW: usize = 100;

/// Of the mappings that the process has left when the slots are made, they need one in so many.
const SHARE: usize = 16;

/// \[SLOT-OWNED\] What each slot is: a [`State`] in the low bits; above it, of one that is free, how
/// many were freed before it.
static STATES: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];

/// Bits of a [`State`].
const STATE_BITS: u32 = 2;

/// What a slot is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Free: it has no access.
    Free,
    /// A thread gets it ready for a block, or takes a freed block from it.
    Busy,
    /// It has a block.
    Used,
}

/// \[GUARDS-LOCKED\] Held by who takes a free slot.
static LOCK: Lock = Lock::new();

/// Slots that were freed so far.
static FREED: AtomicUsize = AtomicUsize::new(0);

/// The first chunk of the slots, plus one; 0: there are none.
static AT: AtomicUsize = AtomicUsize::new(0);

/// The number of slots.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether a thread makes the slots, or has made them.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Whether there are slots: they are made unless they were, which may fail.
pub(super) fn are_there() -> bool {
    count() != 0 || make()
}

fn count() -> usize {
    COUNT.load(ordering::guarded_slots())
}

#[cold]
fn make() -> bool {
    if BEGUN.swap(true, ordering::guarded_slots()) {
        return false;
    }
    let made = try_make();
    if made.is_none() {
        BEGUN.store(false, ordering::guarded_slots());
    }
    made.is_some()
}

fn try_make() -> Option<()> {
    // A slot in use takes two mappings more, and a free one one at most.
    let most = if sys::address_limit().is_some() { FEW } else { MOST };
    let slots = (mappings_left() / SHARE / 3 * 2).min(most);
    let chunks = bytes_of(slots) / CHUNK;
    let at = address_space::reserve((slots != 0).then_some(chunks)?, slots / 2 * 3)?;
    let entry = page_map::entry_of(heap_table::HUGE_OWNER, page_map::GUARDED);
    MAP.set(MAP.chunk_base(at), chunks * CHUNK_GRANULES, entry);
    // Whoever finds the number under the lock finds the entries.
    let _held = LOCK.lock()?;
    AT.store(at + 1, ordering::guarded_slots());
    // In the child of a fork, where there are slots, their place is known.
    sync::in_order();
    COUNT.store(slots, ordering::guarded_slots());
    Some(())
}

/// How many mappings the process may have more than now.
#[inline(never)]
fn mappings_left() -> usize {
    let mut now = 0;
    // Lines that are longer have long names: few do.
    let _ = sys::read_lines(c"/proc/self/maps", &mut [0; 256], |_| {
        now += 1;
        ControlFlow::Continue(())
    });
    sys::mapping_limit().saturating_sub(now)
}

/// Bytes of so many slots, with the guard before the first one: whole chunks.
fn bytes_of(slots: usize) -> usize {
    (room() + slots * stride()).next_multiple_of(CHUNK)
}

/// Bytes from one slot to the next.
fn stride() -> usize {
    2 * room()
}

/// Bytes of a slot, and of a guard.
fn room() -> usize {
    SMALL_MAX.next_multiple_of(sys::page_size())
}

/// The first byte behind a slot.
pub(super) fn end_of(slot: usize) -> *mut u8 {
    let at = AT.load(ordering::guarded_slots()).saturating_sub(1);
    MAP.chunk_base(at).wrapping_add((slot + 1) * stride())
}

/// Where an address lies.
pub(super) enum Place {
    /// In a slot.
    Slot(usize),
    /// In the guard behind this slot and before the next one, nearer to this one or not.
    Guard(usize, bool),
}

/// Where an address lies, if among the slots.
pub(super) fn place_of(address: usize) -> Option<Place> {
    let first = AT.load(ordering::guarded_slots()).checked_sub(1)?;
    let start = MAP.chunk_base(first).addr() + room();
    // In the guard before the first slot there is no slot before it.
    let Some(offset) = address.checked_sub(start) else {
        return (address >= start - room()).then_some(Place::Slot(0));
    };
    let slot = offset / stride();
    if slot >= count() {
        return None;
    }
    let within = offset % stride();
    if within < room() {
        return Some(Place::Slot(slot));
    }
    Some(Place::Guard(slot, within - room() < room() / 2))
}

/// What a slot is; [`State::Free`] also of one that there is not.
pub(super) fn state(slot: usize) -> State {
    let word = STATES.get(slot).map_or(0, |state| state.load(ordering::guarded_state()));
    match word & ((1 << STATE_BITS) - 1) {
        0 => State::Free,
        1 => State::Busy,
        _ => State::Used,
    }
}

/// Takes the slot that was freed first, unless too many are in use. It is the caller's until it is
/// [`set_used`] or [`put`] back. `None` also in a signal handler that interrupts the same.
pub(super) fn take() -> Option<usize> {
    let _held = LOCK.lock()?;
    let (mut first, mut freed, mut used) = (None, usize::MAX, 0);
    for (slot, state) in STATES.iter().enumerate().take(count()) {
        let word = state.load(ordering::guarded_state());
        if word & ((1 << STATE_BITS) - 1) != State::Free as usize {
            used += 1;
        } else if word < freed {
            (first, freed) = (Some(slot), word);
        }
    }
    let slot = first.filter(|_| used < count().div_ceil(2))?;
    STATES[slot].store(State::Busy as usize, ordering::guarded_state());
    Some(slot)
}

/// A block of the slot, which the caller took, is about to be handed out.
pub(super) fn set_used(slot: usize) {
    STATES[slot].store(State::Used as usize, ordering::guarded_state());
}

/// Takes the slot of a block that is freed. Returns whether it did: not, if it has none.
pub(super) fn free(slot: usize) -> bool {
    STATES[slot]
        .compare_exchange(
            State::Used as usize,
            State::Busy as usize,
            ordering::guarded_state(),
            ordering::guarded_state(),
        )
        .is_ok()
}

/// Puts a slot back that the caller has, and that has no access.
pub(super) fn put(slot: usize) {
    let freed = FREED.fetch_add(1, ordering::guarded_slots()) + 1;
    // Whoever takes it next sees what was written of it. In a signal handler that interrupts the
    // one that takes, that is the same thread.
    let _held = LOCK.lock();
    STATES[slot].store(freed << STATE_BITS | State::Free as usize, ordering::guarded_state());
}

/// All slots that are not free, and what they are.
pub(super) fn not_free() -> impl Iterator<Item = (usize, State)> {
    (0..count()).map(|slot| (slot, state(slot))).filter(|(_, state)| *state != State::Free)
}

/// The addresses of all slots: the first, and how many bytes.
pub(super) fn extent() -> Option<(*mut u8, usize)> {
    let at = AT.load(ordering::guarded_slots()).checked_sub(1)?;
    Some((MAP.chunk_base(at), bytes_of(count())))
}

/// In the child of a fork: frees an orphaned lock. Each state is valid by itself.
pub(crate) fn after_fork() {
    if LOCK.is_orphaned() {
        LOCK.force_unlock();
    }
    BEGUN.store(count() != 0, ordering::guarded_slots());
}

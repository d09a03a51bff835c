//! Accesses that fault in the slots, or in the guards between them: they are reported, and end the
//! process. The handler is set with the first slots, and stays: blocks are in use after the sampling
//! was switched off. All other faults go on to the handler that the program had.

use crate::base::ordering;
use crate::base::sync::{self, AtomicBool, AtomicUsize};
use crate::guarded::record;
use crate::guarded::report::{self, Wrong};
use crate::guarded::slots::{self, Place, State};
use crate::sys;

/// Whether the handler was set.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Sets the handler, unless it was set. Returns whether it was.
pub(super) fn install() -> bool {
    INSTALLED.load(ordering::guarded_slots()) || set()
}

#[cold]
fn set() -> bool {
    // Two threads may do so: the second finds it set.
    let set = sys::handle_faults(on_fault);
    INSTALLED.store(set, ordering::guarded_slots());
    set
}

/// Removes the handler: the library with its code may be unloaded.
pub(crate) fn remove() {
    if INSTALLED.swap(false, ordering::guarded_slots()) {
        sys::handle_faults_no_more();
    }
}

/// Which thread tried which access again last.
static TRIED: AtomicUsize = AtomicUsize::new(0);

/// Returns whether the access is to be tried again.
fn on_fault(address: usize) -> bool {
    let Some(place) = slots::place_of(address) else { return false };
    let slot = match place {
        Place::Slot(slot) => slot,
        Place::Guard(slot, is_nearer) => nearest(slot, is_nearer),
    };
    // No block was ever there.
    let Some(record) = record::of(slot) else { return false };
    let (block, bytes) = (record.block(), record.bytes());
    let wrong = if slots::state(slot) != State::Used {
        Wrong::AfterFree
    } else if address < block {
        Wrong::Underflow
    } else if address >= block + bytes {
        Wrong::Overflow
    } else {
        // It was freed, and its slot has another block by now. Where that does not help, the
        // program has taken the access away itself, or executes data.
        let this = address.rotate_left(24) ^ sync::thread_token() as usize;
        return TRIED.swap(this, ordering::fault_tried()) != this;
    };
    report::abort(wrong, address, record)
}

/// Of two slots beside a guard the one whose block was meant: the nearer, if it is in use or the
/// other one is not.
fn nearest(slot: usize, is_nearer: bool) -> usize {
    let (near, far) = if is_nearer { (slot, slot + 1) } else { (slot + 1, slot) };
    let is_used = |slot| slots::state(slot) == State::Used;
    let was_used = |slot| record::of(slot).is_some();
    if is_used(near) || (!is_used(far) && was_used(near)) || !was_used(far) { near } else { far }
}

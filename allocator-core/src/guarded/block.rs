//! Guarded blocks: what allocations and frees do with them.
//!
//! ```text
//!  │ no access │▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│ block    │▒│ guard, no access │
//!              └ pattern                    └ pattern: up to the end of the size class
//! ```
//!
//! Within its class, `realloc` leaves a block where it is, and says nothing. So a block has all bytes
//! of its class, and it is their end that is at the guard. In C the page map is asked each time, and
//! the bytes beyond the requested ones can be told from those of the block.

use core::slice;

use crate::base::misuse::{Location, Misuse, Report};
use crate::base::shadow;
use crate::guarded::faults;
use crate::guarded::record::{self, Record};
use crate::guarded::report::{self, Wrong};
use crate::guarded::slots::{self, Place};
use crate::pages::address_space;
use crate::pages::committed::COMMITTED;
use crate::sys;

/// What is beside a block in its pages.
const PATTERN: u8 = 0xa5;

/// Gets everything ready that guarded blocks need. Returns whether it is.
pub(crate) fn begin() -> bool {
    slots::are_there() && faults::install()
}

/// Bytes of the pages of a block of a class of `bytes`.
pub(crate) fn pages(bytes: usize) -> usize {
    bytes.next_multiple_of(sys::page_size())
}

/// A block for `size` bytes, of a class of `bytes`, whose alignment divides these. `None`: there is
/// no slot, or no memory.
pub(crate) fn get(size: usize, bytes: usize) -> Option<*mut u8> {
    if !begin() {
        return None;
    }
    let slot = slots::take()?;
    let block = fill(slot, size, bytes);
    match block {
        Some(_) => slots::set_used(slot),
        None => slots::put(slot),
    }
    block
}

/// Makes a block in a slot that the caller has.
fn fill(slot: usize, size: usize, bytes: usize) -> Option<*mut u8> {
    let record = record::get_or_create(slot)?;
    let (end, pages) = (slots::end_of(slot), pages(bytes));
    let (start, block) = (end.wrapping_sub(pages), end.wrapping_sub(bytes));
    COMMITTED.charge(pages).ok()?;
    // SAFETY: [SLOT-OWNED] the slot is the caller's, and so are its pages.
    if !unsafe { sys::commit(start, pages) } {
        COMMITTED.discharge(pages);
        return None;
    }
    address_space::count_accessible(pages, 0);
    shadow::handed_out(start, pages);
    // SAFETY: as above; both lie within the pages.
    unsafe {
        start.write_bytes(PATTERN, pages - bytes);
        block.add(size).write_bytes(PATTERN, bytes - size);
    }
    record.begin(block, size, bytes);
    Some(block)
}

/// Takes a block back from its user: nobody else may free it from here on. Returns its slot, for
/// [`put`]. `said` is what the caller says of it, in bytes of its class; `None`: nothing, and what
/// is beyond the requested bytes was not the user's. The caller is in a slow path: in the child of a
/// fork, a slot that a vanished thread took is made free.
///
/// # Errors
/// A misuse: nothing was done.
pub(crate) fn take_back(ptr: *mut u8, said: Option<usize>) -> Result<usize, Misused> {
    let (slot, record) = find(ptr, said.unwrap_or(0))?;
    let misused = |what| Misused::Block(Wrong::Free(what, said.unwrap_or(0)), ptr.addr(), record);
    if said.is_some_and(|bytes| bytes != record.bytes()) {
        return Err(misused(Misuse::Layout));
    }
    if !slots::free(slot) {
        return Err(misused(Misuse::DoubleFree));
    }
    let bytes = record.bytes();
    let before = pages(bytes) - bytes;
    let size = if said.is_some() { bytes } else { record.size() };
    // SAFETY: [SLOT-OWNED] the slot is the caller's from here on.
    let (before, behind) = unsafe {
        let before = slice::from_raw_parts(ptr.sub(before), before);
        (before, slice::from_raw_parts(ptr.add(size), bytes - size))
    };
    if before.iter().chain(behind).any(|byte| *byte != PATTERN) {
        slots::set_used(slot);
        return Err(misused(Misuse::Damaged));
    }
    Ok(slot)
}

/// What was wrong with a pointer that was given back.
pub(crate) enum Misused {
    /// No block was ever there.
    Nothing(Report),
    /// Something of a block, at an address.
    Block(Wrong, usize, &'static Record),
}

impl Misused {
    /// Reports it, and aborts. The caller holds no lock, and is in no slow path.
    pub(crate) fn abort(self) -> ! {
        match self {
            Misused::Nothing(report) => report.abort(),
            Misused::Block(wrong, address, record) => report::abort(wrong, address, record),
        }
    }
}

/// Frees the block of a slot that [`take_back`] returned. Where the system does not take its pages
/// back, the slot is not used again, and they count as in use.
pub(crate) fn put(slot: usize) {
    let Some(record) = record::of(slot) else { return };
    record.freed.write();
    let pages = pages(record.bytes());
    if vacate(slot, pages) {
        COMMITTED.discharge(pages);
        address_space::count_accessible(0, pages);
        slots::put(slot);
    }
}

/// Takes the access to the last bytes of a slot away, and their memory.
fn vacate(slot: usize, pages: usize) -> bool {
    let start = slots::end_of(slot).wrapping_sub(pages);
    // SAFETY: [SLOT-OWNED] the slot is the caller's, and its block was freed.
    unsafe { sys::protect(start, pages) && sys::purge(start, pages) }
}

/// Bytes of the block at `ptr`: as requested, and those of its class. A misuse ends the process.
pub(crate) fn bytes_at(ptr: *mut u8) -> (usize, usize) {
    let (slot, record) = find(ptr, 0).unwrap_or_else(|misused| misused.abort());
    if slots::state(slot) != slots::State::Used {
        report::abort(Wrong::Free(Misuse::DoubleFree, 0), ptr.addr(), record);
    }
    (record.size(), record.bytes())
}

/// The slot of the block at `ptr`, in use or not, and its record.
fn find(ptr: *mut u8, said: usize) -> Result<(usize, &'static Record), Misused> {
    let slot = slots::place_of(ptr.addr()).map(|place| match place {
        Place::Slot(slot) | Place::Guard(slot, _) => slot,
    });
    let Some((slot, record)) = slot.and_then(|slot| Some((slot, record::of(slot)?))) else {
        let location = Location { span: 0, block: 0 };
        let report = Report { what: Misuse::Foreign, ptr, location, size: said };
        return Err(Misused::Nothing(report));
    };
    if record.block() != ptr.addr() {
        let wrong = Wrong::Free(Misuse::Interior, said);
        return Err(Misused::Block(wrong, ptr.addr(), record));
    }
    Ok((slot, record))
}

/// In the child of a fork, where the one thread is in no slow path: slots that vanished threads had
/// are free. Returns the bytes of the others.
pub(crate) fn repair() -> usize {
    let mut held = 0;
    for (slot, state) in slots::not_free() {
        let pages = record::of(slot).map_or(0, |record| pages(record.bytes()));
        if state == slots::State::Used {
            held += pages;
        } else if pages == 0 || vacate(slot, pages) {
            slots::put(slot);
        }
    }
    held
}

/// Unmaps the slots, unless one has a block.
///
/// # Safety
/// Nobody uses the allocator any more.
pub(crate) unsafe fn release() {
    if slots::not_free().next().is_none()
        && let Some((start, bytes)) = slots::extent()
    {
        // SAFETY: by the caller; it was reserved.
        unsafe { sys::release(start, bytes) };
    }
}

//! The reallocation path. A small block stays in place only if the new layout has
//! the same class: a later free names the new layout, whose class must be that of
//! the block. One that grows beyond 16 KiB becomes a page run. A page run grows or shrinks
//! in place, within its chunk. A huge block grows or shrinks in place or is remapped.
//! Otherwise a new block is allocated, and the contents are copied.

use core::ptr;

use crate::alloc::{self, alloc, is_medium};
use crate::background::helper;
use crate::base::shadow;
use crate::base::size_class::{self, CLASSES};
use crate::free::{bytes_of, free};
use crate::pages::arena;
use crate::pages::huge_block;
use crate::pages::page_runs;
use crate::process::config::Config;
use crate::profile::record;
use crate::reclaim::limit;
use crate::reclaim::purge;
use crate::spans::page_map::{self, MAP};
use crate::thread::inside;
use crate::thread::profiled;
use crate::thread::slow_path::SlowPath;

/// Changes the size of a block, in place or elsewhere. Null if there is no memory;
/// then the block is unchanged.
///
/// # Safety
/// The block was made with `old` and `align`; `new` is not 0 and does not wrap
/// when rounded up to `align`.
#[inline]
pub(crate) unsafe fn realloc(ptr: *mut u8, old: usize, align: usize, new: usize) -> *mut u8 {
    let (from, to) = (size_class::of(old, align), size_class::of(new, align));
    shadow::shrinks(ptr, old, new);
    if from == to && from != CLASSES {
        return shadow::handed_out(ptr, new);
    }
    // SAFETY: by the caller.
    unsafe { realloc_slow(ptr, old, align, new) }
}

/// # Safety
/// As for [`realloc`].
#[cold]
#[inline(never)]
unsafe fn realloc_slow(ptr: *mut u8, old: usize, align: usize, new: usize) -> *mut u8 {
    let small = |size| size_class::of(size, align) != CLASSES;
    let was_small = small(old) && !is_run(ptr);
    if !was_small && (alloc::may_be_run(new, align) || !small(new)) {
        let old = bytes_of(MAP.entry(ptr), old, size_class::of(old, align));
        match (is_medium(old, align), is_medium(new, align)) {
            (true, true) if resize_run(ptr, old, new) => return shadow::handed_out(ptr, new),
            // One that gets much smaller moves.
            (false, true) => {}
            (_, stays) if is_huge(ptr) || (!stays && promote_run(ptr, old)) => {
                if let Some(moved) = resize_huge(ptr, old, new, align) {
                    return shadow::handed_out(moved, new);
                }
            }
            _ => {}
        }
    }
    // SAFETY: by the caller; both blocks hold the bytes that are copied.
    unsafe {
        let mut to = alloc::grown(old, new, align);
        if to.is_null() {
            to = alloc(new, align, Config::PLAIN);
        }
        if to.is_null() {
            shadow::handed_out(ptr, old);
        } else {
            ptr::copy_nonoverlapping(ptr, to, old.min(new));
            free(ptr, old, align);
        }
        to
    }
}

/// Makes a huge block of a page run that is alone in its chunk. Returns whether it did.
pub(crate) fn promote_run(ptr: *mut u8, old: usize) -> bool {
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    let promoted = huge_block::promote(ptr, old);
    slow.leave();
    promoted
}

/// Whether a page run is at `ptr`.
fn is_run(ptr: *mut u8) -> bool {
    page_map::kind(MAP.entry(ptr)) == page_map::MEDIUM
}

/// Whether a huge block is at `ptr`.
pub(crate) fn is_huge(ptr: *mut u8) -> bool {
    page_map::kind(MAP.entry(ptr)) == page_map::HUGE
}

/// Resizes a page run to `new` bytes in place. Returns whether it could.
pub(crate) fn resize_run(ptr: *mut u8, old: usize, new: usize) -> bool {
    let Some(arena) = arena::by_id(page_map::owner(MAP.entry(ptr))) else { return false };
    let _inside = inside::enter();
    let (from, to) = (page_runs::units(old.max(1)), page_runs::units(new));
    let slow = SlowPath::enter();
    let resize = || arena.page_runs.resize(ptr, from, to, old);
    let resized = record::while_resized(ptr, old, || {
        let resized =
            resize().or_else(|refused| if purge::make_room() { resize() } else { Err(refused) });
        resized.unwrap_or(false).then_some(ptr)
    });
    if slow.leave() {
        limit::check();
    }
    sample(resized, new);
    resized.is_some()
}

/// Counts a block that was resized to `new` bytes, for the profile: as if it was allocated.
fn sample(resized: Option<*mut u8>, new: usize) {
    if let Some(block) = resized
        && let Some(due) = profiled::due(new)
    {
        let slow = SlowPath::enter();
        alloc::record_sample(block, new, due.take(), slow.is_nested());
        slow.leave();
    }
}

/// Resizes a huge block to `new` bytes, in place or elsewhere. `None` if it cannot;
/// then the block is unchanged. Growth needs less memory than another block and a
/// copy, so under a limit, if it fails, free memory goes back to the system, and it is
/// tried again.
pub(crate) fn resize_huge(ptr: *mut u8, old: usize, new: usize, align: usize) -> Option<*mut u8> {
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    let resize = || huge_block::resize(ptr, old, new, align);
    let make_room = || huge_block::is_limited() && purge::make_room();
    let resized = record::while_resized(ptr, old, || {
        resize().or_else(|| (new > old && make_room()).then(resize)?)
    });
    if slow.leave() {
        match new > old {
            true => helper::check_growth(),
            false => helper::check_excess(),
        }
        limit::check();
    }
    sample(resized, new);
    resized
}

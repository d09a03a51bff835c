//! Blocks without layouts, as C has them: the size is told when a block is
//! made, and the map knows it from then on. A crate that exports `malloc`
//! needs no more than this.
//!
//! All blocks are aligned to 16 bytes at least. Where a function says that a
//! pointer is *not ours*, nothing was done. A pointer that is ours and wrong
//! (into the middle of a block, freed twice) ends the process with one line on
//! standard error.

use core::ptr;

use crate::alloc::{self, is_medium};
use crate::background::helper;
use crate::base::geometry::{MEDIUM_MAX, SMALL_MAX, UNIT};
use crate::base::misuse::{self, Location, Misuse};
use crate::base::size_class::{self, CLASSES};
use crate::free;
use crate::pages::huge_block;
use crate::pages::page_runs::{self};
use crate::process::config::Config;
use crate::process::init;
use crate::process::options;
use crate::realloc;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HEAP;
use crate::thread::tls;

/// No block is larger: differences of pointers into it must be numbers.
const MAX_SIZE: usize = isize::MAX as usize;

/// A block of `size` bytes from the thread's magazine; null if there is none,
/// or `size` is above 1 KiB: then [`alloc()`] is the way.
#[inline(always)]
#[must_use]
pub fn pop(size: usize) -> *mut u8 {
    let Some(class) = size_class::of_any(size) else { return ptr::null_mut() };
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or one of nobody's.
    unsafe { (*tls::get()).pop(class) }
}

/// A block of `size` bytes, aligned to `align`, a power of two; null when
/// there is no memory, or `size` is above `isize::MAX`.
#[inline]
#[must_use]
pub fn alloc(size: usize, align: usize) -> *mut u8 {
    if size > MAX_SIZE {
        return ptr::null_mut();
    }
    // SAFETY: a valid layout, or one too large, for which there is no block.
    unsafe { alloc::alloc(size, align.max(size_class::ANY), Config::PLAIN) }
}

/// As [`alloc()`], all zero.
#[inline]
#[must_use]
pub fn alloc_zeroed(size: usize) -> *mut u8 {
    if size > MAX_SIZE {
        return ptr::null_mut();
    }
    // SAFETY: as above.
    unsafe { alloc::alloc_zeroed(size, size_class::ANY, Config::PLAIN) }
}

/// Keeps a block in the thread's magazine, if it is this thread's and there is
/// room; else [`free()`] is the way.
///
/// # Safety
/// The block is not used any more.
#[inline(always)]
pub unsafe fn push(ptr: *mut u8) -> bool {
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or one of nobody's.
    unsafe { (*tls::get()).push_any(ptr) }
}

/// As [`push`], for a block of another thread's, which is held back to be sent
/// there with others.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn buffer_remote(ptr: *mut u8) -> bool {
    let entry = MAP.entry(ptr);
    let small = (page_map::kind(entry) as usize) < CLASSES && page_map::owner(entry) != NO_HEAP;
    // SAFETY: by the caller.
    small && unsafe { free::buffer_remote(ptr, entry) }
}

/// Takes a block back. False: it is not ours.
///
/// # Safety
/// The block is not used any more.
pub unsafe fn free(ptr: *mut u8) -> bool {
    let entry = MAP.entry(ptr);
    if page_map::owner(entry) == NO_HEAP {
        return false;
    }
    if (page_map::kind(entry) as usize) < CLASSES {
        // SAFETY: by the caller.
        unsafe { free::free_small(ptr, entry) };
    } else {
        free::free_odd(ptr, entry, large_bytes(ptr, entry));
        helper::check_excess();
    }
    true
}

/// As [`push`], if the block is of the class for `size` bytes; for sizes up to
/// 1 KiB; else [`free_sized`] is the way.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn push_sized(ptr: *mut u8, size: usize) -> bool {
    let Some(class) = size_class::of_any(size) else { return false };
    // SAFETY: [OWNER-ONLY] as above; by the caller.
    unsafe { (*tls::get()).push(class, ptr) }
}

/// Takes a block back that was made for `size` bytes and `align`. False: it is
/// not ours. A block that cannot have been made so ends the process.
///
/// # Safety
/// The block is not used any more.
pub unsafe fn free_sized(ptr: *mut u8, size: usize, align: usize) -> bool {
    let class = size_class::of(size, align.max(size_class::ANY));
    // SAFETY: [OWNER-ONLY] as above; by the caller.
    if class != CLASSES && unsafe { (*tls::get()).push(class, ptr) } {
        return true;
    }
    let Some(block) = usable(ptr) else { return false };
    if good_size(size, align) != Some(block) && !fits(size, block) {
        let location = Location { span: 0, block };
        misuse::abort(Misuse::Layout, ptr, &location, size);
    }
    // SAFETY: by the caller.
    unsafe { free(ptr) }
}

/// Gives a block another size, where it stands or elsewhere. `Some(null)`:
/// there is no memory, the block is as it was. `None`: it is not ours.
///
/// # Safety
/// The block is the caller's, who uses what is returned from now on.
#[inline]
pub unsafe fn realloc(ptr: *mut u8, new: usize) -> Option<*mut u8> {
    let entry = MAP.entry(ptr);
    let class = page_map::kind(entry) as usize;
    if class >= CLASSES || page_map::owner(entry) == NO_HEAP {
        // SAFETY: by the caller.
        return unsafe { realloc_large(ptr, new) };
    }
    let old = size_class::size(class);
    if fits(new, old) {
        return Some(ptr);
    }
    let to = match pop(new) {
        block if block.is_null() => alloc(new, 1),
        block => block,
    };
    // SAFETY: by the caller.
    unsafe { move_to(to, ptr, old.min(new)) };
    Some(to)
}

/// As [`realloc()`], for a block that is not small, or not ours.
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn realloc_large(ptr: *mut u8, new: usize) -> Option<*mut u8> {
    let old = usable(ptr)?;
    if fits(new, old) {
        return Some(ptr);
    }
    if new > MAX_SIZE {
        return Some(ptr::null_mut());
    }
    let small = size_class::of(new, size_class::ANY) != CLASSES;
    match page_map::kind(MAP.entry(ptr)) {
        page_map::MEDIUM if !small && is_medium(new, 1) && realloc::resize_run(ptr, old, new) => {
            return Some(ptr);
        }
        page_map::HUGE if !is_medium(new, 1) => {
            if let Some(moved) = realloc::resize_huge(ptr, old, new, 1) {
                return Some(moved);
            }
        }
        _ => {}
    }
    let more = with_room(old, new);
    let mut to = alloc(more, size_class::ANY);
    if to.is_null() && more != new {
        to = alloc(new, size_class::ANY);
    }
    // SAFETY: by the caller.
    unsafe { move_to(to, ptr, old.min(new)) };
    Some(to)
}

/// Copies so many bytes from one block to another, if there is one, and frees
/// the first.
///
/// # Safety
/// Both blocks have so many bytes, and the first is not used any more.
#[inline(always)]
unsafe fn move_to(to: *mut u8, from: *mut u8, bytes: usize) {
    if to.is_null() {
        return;
    }
    // SAFETY: by the caller.
    unsafe {
        ptr::copy_nonoverlapping(from, to, bytes);
        if !push(from) {
            free(from);
        }
    }
}

/// What to ask for when a block of `old` bytes has to move to be one of `new`:
/// what grows once grows again, and page runs come as exact as they are asked
/// for, so that each step would copy all.
fn with_room(old: usize, new: usize) -> usize {
    if new > old && old > SMALL_MAX && is_medium(new, 1) {
        return new.max(old + old / 8).min(MEDIUM_MAX);
    }
    new
}

/// Whether a block of `block` bytes may stay for `size`: nothing smaller would
/// do much better.
fn fits(size: usize, block: usize) -> bool {
    size <= block && size > block - block / 4
}

/// Bytes of the block at `ptr`, all of which may be used. `None`: it is not
/// ours.
#[must_use]
pub fn usable(ptr: *mut u8) -> Option<usize> {
    let entry = MAP.entry(ptr);
    if page_map::owner(entry) == NO_HEAP {
        return None;
    }
    let Some(shape) = size_class::SHAPES.get(page_map::kind(entry) as usize) else {
        return Some(large_bytes(ptr, entry));
    };
    let span = page_map::span_base(ptr);
    let block = shape.size as usize;
    if shape.block_at(ptr.addr() - span).is_none() {
        misuse::abort(Misuse::Interior, ptr, &Location { span, block }, 0);
    }
    Some(block)
}

/// Bytes of a block that is not small and has this entry.
fn large_bytes(ptr: *mut u8, entry: u32) -> usize {
    if page_map::kind(entry) == page_map::HUGE {
        return huge_block::bytes_at(ptr, 0);
    }
    page_runs::bytes_at(ptr)
}

/// Ends the process because of a pointer that is not ours.
pub fn refuse(ptr: *mut u8) -> ! {
    misuse::abort(Misuse::Foreign, ptr, &Location { span: 0, block: 0 }, 0)
}

/// Sets the allocator up, if no allocation did, and reads the options from the
/// environment, if no allocation could.
///
/// From now on, the thread that gives memory back is started by [`check_excess`]
/// only: the C library frees under locks of its own.
pub fn start() {
    helper::start_when_asked();
    if init::ensure(Config::PLAIN) {
        options::read();
    }
}

/// Sees that somebody gives memory back, if there is too much. Then only is it
/// asked whether a thread may be started here.
#[inline]
pub fn check_excess(may_start: impl FnOnce() -> bool) {
    helper::check_excess_where(may_start);
}

/// Whether the options want numbers at the end of the process.
#[must_use]
pub fn stats_at_exit() -> bool {
    options::stats_at_exit()
}

/// Bytes that a block for `size` bytes and `align` has. `None`: there is none
/// so large.
#[must_use]
pub fn good_size(size: usize, align: usize) -> Option<usize> {
    let align = align.max(size_class::ANY);
    match size_class::of(size, align) {
        CLASSES if size > MAX_SIZE => None,
        CLASSES if is_medium(size, align) => Some(page_runs::units(size.max(1)) * UNIT),
        CLASSES => huge_block::bytes_for(size),
        class => Some(size_class::size(class)),
    }
}

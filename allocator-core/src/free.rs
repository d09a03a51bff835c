//! The free path. A block goes into the thread's magazine if the page map says that
//! it belongs to the thread and is of the layout's class. Otherwise the page map
//! alone decides where it goes, never the layout: a layout that does not match
//! ends the process.
//!
//! ```text
//!  free ─┬─ ours, and of the class ──► magazine; full: thread/free_slow.rs
//!        ├─ of another owner ────────► remote cache; full: sent to the owners
//!        ├─ page run or huge block ──► its arena; kept or unmapped
//!        └─ neither, or a mismatch ──► abort with a message
//! ```

use crate::background::helper;
use crate::base::geometry::UNIT;
use crate::base::misuse::{self, Location, Misuse};
use crate::base::size_class::{self, CLASSES};
use crate::pages::arena;
use crate::pages::huge_block;
use crate::pages::page_runs::{self};
use crate::pages::usage;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HEAP;
use crate::thread::inside;
use crate::thread::registry;
use crate::thread::remote_cache::Buffered;
use crate::thread::tls;

/// Frees a block. For a constant layout, this folds to sixteen instructions.
///
/// # Safety
/// The block was made with this layout and is no longer used.
#[inline(always)]
pub(crate) unsafe fn free(ptr: *mut u8, size: usize, align: usize) {
    let class = size_class::of(size, align);
    if class != CLASSES {
        // SAFETY: [OWNER-ONLY] the calling thread's cache, or a stand-in.
        if unsafe { (*tls::get()).push(class, ptr) } {
            return;
        }
    }
    // SAFETY: by the caller.
    unsafe { free_slow(ptr, size, class) }
}

/// Frees a block whose layout has `size` bytes and `class`, and which the magazine
/// did not take: most often it belongs to another owner.
///
/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn free_slow(ptr: *mut u8, size: usize, class: usize) {
    let entry = MAP.entry(ptr);
    if page_map::kind(entry) as usize != class || page_map::owner(entry) == NO_HEAP {
        free_other(ptr, entry, size);
        helper::check_excess();
        return;
    }
    // SAFETY: by the caller.
    unsafe {
        if !buffer_remote(ptr, entry) {
            free_small(ptr, entry);
        }
    }
}

/// Puts a small block with this entry into the remote cache, if it belongs to
/// another owner. Most frees that the magazine does not take end here. Returns
/// whether it did.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub(crate) unsafe fn buffer_remote(ptr: *mut u8, entry: u32) -> bool {
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or a stand-in.
    let held = unsafe { (*tls::get()).buffer_remote(ptr, entry) };
    if held == Buffered::Full {
        flush_remote_cache();
    }
    held != Buffered::No
}

/// Sends all blocks of the thread's remote cache to their owners.
#[cold]
#[inline(never)]
fn flush_remote_cache() {
    let _inside = inside::enter();
    if let Some(cache) = registry::current() {
        // SAFETY: [OWNER-ONLY] it is the thread's cache.
        unsafe { cache.flush_remote_cache() };
    }
    helper::check_excess();
}

/// Frees a small block with this entry, which the magazine did not take.
///
/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn free_small(ptr: *mut u8, entry: u32) {
    let _inside = inside::enter();
    let (owner, class) = (page_map::owner(entry), page_map::kind(entry) as usize);
    // SAFETY: by the caller; [OWNER-ONLY] it is the thread's cache.
    unsafe {
        match registry::current() {
            Some(cache) if owner != cache.id() => cache.pass_on(ptr, class),
            Some(cache) => cache.take_back(ptr, class),
            None => registry::free_without_cache(ptr, class),
        }
    }
    helper::check_excess();
}

/// Frees a block that is not small, or does not match its layout.
#[inline(never)]
pub(crate) fn free_other(ptr: *mut u8, entry: u32, size: usize) {
    let _inside = inside::enter();
    let owner = page_map::owner(entry);
    match page_map::kind(entry) {
        _ if owner == NO_HEAP => {
            misuse::abort(Misuse::Foreign, ptr, &Location { span: 0, block: 0 }, size)
        }
        page_map::MEDIUM => free_run(ptr, owner, size),
        page_map::HUGE => huge_block::put(ptr, size),
        class => wrong_layout(ptr, class as usize, size),
    }
}

fn free_run(ptr: *mut u8, owner: u32, size: usize) {
    let Some(arena) = arena::by_id(owner) else { return };
    let units = page_runs::units(size.max(1));
    arena.page_runs.put(ptr, units, size);
    usage::gave_large(units * UNIT, units * UNIT);
}

#[cold]
fn wrong_layout(ptr: *mut u8, class: usize, size: usize) -> ! {
    let span = page_map::span_base(ptr);
    let location = Location { span, block: size_class::size(class) };
    misuse::abort(Misuse::Layout, ptr, &location, size)
}

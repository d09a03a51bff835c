//! The free path. A block goes into the thread's magazine if the page map says that
//! it belongs to the thread and is of the layout's class. Otherwise the page map
//! alone decides where it goes, never the layout: a layout that does not match
//! ends the process.
//!
//! ```text
//!  free ─┬─ ours, and of the class ──► magazine; full: thread/free_slow.rs
//!        ├─ of another owner ────────► remote cache; full: sent to the owners
//!        ├─ page run or huge block ──► its arena; kept or unmapped
//!        ├─ guarded ─────────────────► checked; its pages are not accessible any more
//!        └─ neither, or a mismatch ──► abort with a message
//! ```

use crate::background::helper;
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::shadow;
use crate::base::size_class::{self, CLASSES};
use crate::guarded::block;
use crate::pages::arena;
use crate::pages::huge_block;
use crate::profile::record;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HEAP;
use crate::thread::cache::Cache;
use crate::thread::inside;
use crate::thread::profiled;
use crate::thread::registry;
use crate::thread::slow_path::SlowPath;
use crate::thread::tls;

/// Frees a block. For a constant layout, this folds to sixteen instructions.
///
/// # Safety
/// The block was made with this layout and is no longer used.
#[inline(always)]
pub(crate) unsafe fn free(ptr: *mut u8, size: usize, align: usize) {
    shadow::taken_back(ptr, size);
    let class = size_class::of(size, align);
    if class < CLASSES {
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
    // SAFETY: by the caller.
    unsafe {
        if profiled::is_here() {
            free_profiled(ptr, size, class);
        } else {
            free_by_entry(ptr, size, class);
        }
    }
}

/// Like [`free_slow`], in a thread that is profiled.
///
/// # Safety
/// As for [`free`].
#[inline(never)]
unsafe fn free_profiled(ptr: *mut u8, size: usize, class: usize) {
    // SAFETY: [OWNER-ONLY] it is the calling thread's cache; by the caller.
    if class < CLASSES && unsafe { profiled::cache().push(class, ptr) } {
        return;
    }
    // SAFETY: by the caller.
    unsafe { free_by_entry(ptr, size, class) }
}

/// Frees a block as its entry says.
///
/// # Safety
/// As for [`free`].
#[inline(never)]
unsafe fn free_by_entry(ptr: *mut u8, size: usize, class: usize) {
    let entry = MAP.entry(ptr);
    if page_map::kind(entry) as usize != class || page_map::owner(entry) == NO_HEAP {
        free_other(ptr, entry, bytes_of(entry, size, class));
        return;
    }
    // SAFETY: by the caller.
    unsafe {
        if !buffer_remote(ptr, entry) && !keep_profiled(ptr, entry) {
            free_small(ptr, entry);
        }
    }
}

/// The bytes that a block with this entry was made for, if its layout has `size` bytes and
/// `class`: pages that serve a small layout are as large as a block of its class.
#[inline]
pub(crate) fn bytes_of(entry: u32, size: usize, class: usize) -> usize {
    let is_pages =
        matches!(page_map::kind(entry), page_map::GUARDED | page_map::MEDIUM | page_map::HUGE);
    if is_pages && class < CLASSES { size_class::size(class) } else { size }
}

/// Puts a small block with this entry into the remote cache, if it belongs to
/// another owner. Most frees that the magazine does not take end here. Returns
/// whether it did.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub(crate) unsafe fn buffer_remote(ptr: *mut u8, entry: u32) -> bool {
    // SAFETY: [HEAPS-STAY] a thread's cache lives as long as the thread.
    let cache = unsafe { &*tls::get() };
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or a stand-in.
    if !unsafe { cache.buffers(ptr, entry) } {
        return false;
    }
    let slow = SlowPath::enter_with(cache);
    // SAFETY: [OWNER-ONLY] it is the thread's cache; by the caller.
    unsafe { buffer(cache, slow, ptr, entry) };
    true
}

/// Puts a block into the remote cache, and sends what is full then.
///
/// # Safety
/// As for [`free`]; \[OWNER-ONLY\] it is the calling thread's cache, which buffers the block.
#[inline(always)]
unsafe fn buffer(cache: &'static Cache, slow: SlowPath, ptr: *mut u8, entry: u32) {
    let (class, owner) = (page_map::kind(entry) as usize, page_map::owner(entry));
    // SAFETY: by the caller.
    if unsafe { cache.buffer(ptr, class, owner) } {
        send_full(cache, slow);
    } else {
        slow.leave_unsettled();
    }
}

/// If the calling thread is profiled, puts a small block with this entry into its magazine or
/// into its remote cache. Returns whether it did.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub(crate) unsafe fn keep_profiled(ptr: *mut u8, entry: u32) -> bool {
    // SAFETY: by the caller.
    profiled::is_here() && unsafe { keep(profiled::cache(), ptr, entry) }
}

/// # Safety
/// As for [`free`]; \[OWNER-ONLY\] it is the calling thread's cache.
#[inline(always)]
unsafe fn keep(cache: &'static Cache, ptr: *mut u8, entry: u32) -> bool {
    // SAFETY: by the caller.
    unsafe {
        cache.push_any(ptr)
            || (page_map::owner(entry) != cache.id() && keep_remote(cache, ptr, entry))
    }
}

/// Puts a block of another owner into the remote cache of a thread that is profiled. Returns
/// whether it did.
///
/// # Safety
/// As for [`free`]; \[OWNER-ONLY\] it is the calling thread's cache.
#[inline(never)]
unsafe fn keep_remote(cache: &'static Cache, ptr: *mut u8, entry: u32) -> bool {
    // SAFETY: by the caller.
    unsafe {
        cache.buffers(ptr, entry) && {
            buffer(cache, SlowPath::enter(), ptr, entry);
            true
        }
    }
}

/// Sends what is full in the thread's remote cache.
#[cold]
#[inline(never)]
fn send_full(cache: &'static Cache, slow: SlowPath) {
    let _inside = inside::enter();
    // SAFETY: [OWNER-ONLY] it is the thread's cache.
    unsafe { cache.send_full() };
    if slow.leave() {
        helper::check_excess();
    }
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
    let mut slow = SlowPath::enter();
    // SAFETY: by the caller; [OWNER-ONLY] it is the thread's cache.
    unsafe {
        match slow.cache() {
            Some(cache) if owner != cache.id() => cache.pass_on(ptr, class, owner),
            Some(cache) => cache.take_back(ptr, class),
            None => registry::free_without_cache(&mut slow, ptr, class),
        }
    }
    if slow.leave() {
        helper::check_excess();
    }
}

/// Frees a block that is not small, or does not match its layout.
#[inline(never)]
pub(crate) fn free_other(ptr: *mut u8, entry: u32, size: usize) {
    if page_map::kind(entry) == page_map::GUARDED {
        return free_guarded(ptr, Some(size));
    }
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    let owner = page_map::owner(entry);
    record::forget(ptr);
    match page_map::kind(entry) {
        _ if owner == NO_HEAP => {
            let location = Location { span: 0, block: 0 };
            Report { what: Misuse::Foreign, ptr, location, size }.note();
        }
        page_map::MEDIUM => slow.count_freed(arena::put_run(ptr, owner, size)),
        page_map::HUGE => slow.count_freed(huge_block::put(ptr, size)),
        class => wrong_layout(ptr, class as usize, size),
    }
    if slow.leave() {
        helper::check_excess();
    }
}

/// Frees a guarded block. `said`: what the caller says of it, in bytes of its class.
#[cold]
#[inline(never)]
pub(crate) fn free_guarded(ptr: *mut u8, said: Option<usize>) {
    let inside = inside::enter();
    let slot = match block::take_back(ptr, said) {
        Ok(slot) => slot,
        Err(misused) => {
            // A handler of the abort may leave by a jump.
            drop(inside);
            misused.abort()
        }
    };
    let slow = SlowPath::enter();
    record::forget(ptr);
    block::put(slot);
    slow.count_freed(true);
    if slow.leave() {
        helper::check_excess();
    }
}

#[cold]
fn wrong_layout(ptr: *mut u8, class: usize, size: usize) {
    let span = page_map::span_base(ptr);
    let location = Location { span, block: size_class::size(class) };
    Report { what: Misuse::Layout, ptr, location, size }.note();
}

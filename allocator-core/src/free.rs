//! The way of a free: the magazine, if the map says that the block is mine
//! and of the layout's class; otherwise what the map says decides, never the
//! layout.

use crate::background::helper;
use crate::base::class::{self, CLASSES};
use crate::base::fatal::{self, Misuse, Place};
use crate::pages::arena;
use crate::pages::huge;
use crate::pages::medium::{self, UNIT};
use crate::pages::usage;
use crate::span::map::{self, MAP};
use crate::span::span::NO_HOME;
use crate::thread::outbox::Held;
use crate::thread::threads;
use crate::thread::tls;

/// Takes a block back. Folds to sixteen instructions for a constant layout.
///
/// # Safety
/// The block was made with this layout and is not used any more.
#[inline(always)]
pub(crate) unsafe fn free(ptr: *mut u8, size: usize, align: usize) {
    let class = class::of(size, align);
    if class != CLASSES {
        // SAFETY: [OWNER-ONLY] the calling thread's cache, or one of nobody's.
        if unsafe { (*tls::get()).push(class, ptr) } {
            return;
        }
    }
    // SAFETY: by the caller.
    unsafe { free_slow(ptr, size, class) }
}

/// A block of a layout of `size` bytes and of `class`, which the magazine did
/// not take: another owner's as a rule.
///
/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn free_slow(ptr: *mut u8, size: usize, class: usize) {
    let entry = MAP.entry(ptr);
    if map::kind(entry) as usize != class || map::owner(entry) == NO_HOME {
        free_odd(ptr, entry, size);
        helper::attend();
        return;
    }
    // SAFETY: by the caller.
    unsafe {
        if !hold_back(ptr, entry) {
            free_small(ptr, entry);
        }
    }
}

/// Holds a small block with this entry back for its owner, if that is another
/// thread: so end most of the frees that the magazine does not take.
///
/// # Safety
/// As for [`free`].
#[inline(always)]
pub(crate) unsafe fn hold_back(ptr: *mut u8, entry: u32) -> bool {
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or one of nobody's.
    let held = unsafe { (*tls::get()).hold_back(ptr, entry) };
    if held == Held::Full {
        send_off();
    }
    held != Held::No
}

/// Empties the thread's outbox.
#[cold]
#[inline(never)]
fn send_off() {
    if let Some(cache) = threads::present() {
        // SAFETY: [OWNER-ONLY] it is the thread's cache.
        unsafe { cache.empty_outbox() };
    }
    helper::attend();
}

/// A small block with this entry, which the magazine did not take.
///
/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn free_small(ptr: *mut u8, entry: u32) {
    let (owner, class) = (map::owner(entry), map::kind(entry) as usize);
    // SAFETY: by the caller; [OWNER-ONLY] it is the thread's cache.
    unsafe {
        match threads::present() {
            Some(cache) if owner != cache.id() => cache.pass_on(ptr, class),
            Some(cache) => cache.take_back(ptr, class),
            None => threads::free_without_cache(ptr, class),
        }
    }
    helper::attend();
}

/// A block that is not small, or is not what its layout says.
#[inline(never)]
pub(crate) fn free_odd(ptr: *mut u8, entry: u32, size: usize) {
    let owner = map::owner(entry);
    match map::kind(entry) {
        _ if owner == NO_HOME => {
            fatal::misuse(Misuse::Foreign, ptr, &Place { span: 0, block: 0 }, size)
        }
        map::MEDIUM => free_run(ptr, owner, size),
        map::HUGE => huge::put(ptr, size),
        class => wrong_layout(ptr, class as usize, size),
    }
}

fn free_run(ptr: *mut u8, owner: u32, size: usize) {
    let Some(arena) = arena::by_id(owner) else { return };
    let units = medium::units(size.max(1));
    arena.medium.put(ptr, units, size);
    usage::gave_large(units * UNIT, units * UNIT);
}

#[cold]
fn wrong_layout(ptr: *mut u8, class: usize, size: usize) -> ! {
    let span = map::span_base(ptr);
    let place = Place { span, block: class::size(class) };
    fatal::misuse(Misuse::Layout, ptr, &place, size)
}

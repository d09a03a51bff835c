//! Blocks without layouts, as in C: the caller names the size when it allocates a
//! block, and later the page map tells it. This is all that a crate that exports
//! `malloc` needs; it is hidden, and not part of the API.
//!
//! Every block is aligned to at least 16 bytes. A function that reports a pointer as
//! *not ours* has done nothing. A pointer that is ours but wrong (into the middle of
//! a block, or freed twice) ends the process with one line on standard error.
//!
//! [`pop`], [`push`], [`push_sized`] and [`buffer_remote`] are the fast paths, to be
//! inlined. If one does not succeed, [`alloc()`], [`free()`] or [`free_sized`] does
//! the whole work.

use core::ffi::{CStr, c_int};
use core::ptr;

use crate::alloc::{self, is_medium};
use crate::base::geometry::{MEDIUM_MAX, SMALL_MAX, UNIT};
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::own_stack;
use crate::base::size_class::{self, CLASSES};
use crate::free;
use crate::guarded::block;
use crate::hardened::blocks;
pub use crate::hardened::blocks::{Kind, Mode, Said};
use crate::pages::empty_blocks;
use crate::pages::huge_block;
use crate::pages::page_runs::{self};
use crate::process::config::Config;
use crate::process::handlers;
use crate::process::init;
use crate::process::options;
use crate::profile::rate::{self, For};
use crate::realloc;
use crate::report::profile_text;
use crate::report::stats;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HEAP;
use crate::thread::tls;

/// No block is larger: the difference of two pointers into it must fit `isize`.
const MAX_SIZE: usize = isize::MAX as usize;

/// Takes a block of `size` bytes from the thread's magazine. `None` if that is empty
/// or `size` is above 1 KiB: then call [`alloc()`].
#[inline(always)]
#[must_use]
pub fn pop(size: usize) -> Option<*mut u8> {
    let class = size_class::of_any(size)?;
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or a stand-in.
    unsafe { (*tls::get()).pop(class) }
}

/// A block of `size` bytes, aligned to `align`, a power of two. Null if there is no
/// memory or `size` is above `isize::MAX`.
#[inline]
#[must_use]
pub fn alloc(size: usize, align: usize) -> *mut u8 {
    if size > MAX_SIZE {
        return ptr::null_mut();
    }
    // SAFETY: the layout is valid, or so large that there is no block for it.
    unsafe { alloc::alloc(size, align.max(size_class::ANY), Config::PLAIN) }
}

/// Like [`alloc()`], all zero.
#[inline]
#[must_use]
pub fn alloc_zeroed(size: usize) -> *mut u8 {
    if size > MAX_SIZE {
        return ptr::null_mut();
    }
    // SAFETY: as above.
    unsafe { alloc::alloc_zeroed(size, size_class::ANY, Config::PLAIN) }
}

/// Puts a block into the thread's magazine, if it belongs to this thread and there
/// is room. Returns whether it did; if not, call [`free()`].
///
/// # Safety
/// The block is no longer used.
#[inline(always)]
pub unsafe fn push(ptr: *mut u8) -> bool {
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or a stand-in.
    unsafe { (*tls::get()).push_any(ptr) }
}

/// Puts a small block of another owner into the thread's remote cache, to be sent
/// with others. Returns whether it did; if not, call [`free()`].
///
/// # Safety
/// As for [`push`].
#[inline(always)]
pub unsafe fn buffer_remote(ptr: *mut u8) -> bool {
    let entry = MAP.entry(ptr);
    let small = (page_map::kind(entry) as usize) < CLASSES && page_map::owner(entry) != NO_HEAP;
    // SAFETY: by the caller.
    small && unsafe { free::buffer_remote(ptr, entry) }
}

/// Frees a block. False if it is not ours.
///
/// # Safety
/// The block is no longer used.
pub unsafe fn free(ptr: *mut u8) -> bool {
    let entry = MAP.entry(ptr);
    if page_map::owner(entry) == NO_HEAP {
        return free_empty(ptr);
    }
    if (page_map::kind(entry) as usize) < CLASSES {
        // SAFETY: by the caller.
        unsafe {
            if !free::keep_profiled(ptr, entry) {
                free::free_small(ptr, entry);
            }
        }
    } else if page_map::kind(entry) == page_map::GUARDED {
        free::free_guarded(ptr, None);
    } else {
        free::free_other(ptr, entry, large_bytes(ptr, entry));
    }
    true
}

/// Frees a block of no bytes, as hardened mode makes them, from before it was known not to be
/// chosen. False if it is not one of ours.
#[cold]
fn free_empty(ptr: *mut u8) -> bool {
    let ours = empty_blocks::has(ptr);
    if ours {
        empty_blocks::put(ptr);
    }
    ours
}

/// Like [`push`], for a block of the class for `size` bytes, of at most 1 KiB. If
/// it returns false, call [`free_sized`].
///
/// # Safety
/// As for [`push`].
#[inline(always)]
pub unsafe fn push_sized(ptr: *mut u8, size: usize) -> bool {
    let Some(class) = size_class::of_any(size) else { return false };
    // SAFETY: [OWNER-ONLY] as above; by the caller.
    unsafe { (*tls::get()).push(class, ptr) }
}

/// Frees a block that was made for `size` bytes and `align`. False if it is not
/// ours. Ends the process if the block cannot have been made for them.
///
/// # Safety
/// The block is no longer used.
pub unsafe fn free_sized(ptr: *mut u8, size: usize, align: usize) -> bool {
    let class = size_class::of(size, align.max(size_class::ANY));
    // SAFETY: [OWNER-ONLY] as above; by the caller.
    if class < CLASSES && unsafe { (*tls::get()).push(class, ptr) } {
        return true;
    }
    let entry = MAP.entry(ptr);
    let block = match page_map::kind(entry) {
        page_map::GUARDED => Some(large_bytes(ptr, entry)),
        _ => usable(ptr),
    };
    let Some(block) = block else { return false };
    // A small block may be pages: one that grew, or was allocated in a signal handler.
    let pages = match page_map::kind(entry) {
        page_map::MEDIUM => Some(page_runs::units(size.max(1)) * UNIT),
        page_map::HUGE => huge_block::bytes_for(size),
        _ => None,
    };
    if ![good_size(size, align), pages].contains(&Some(block)) && !fits(size, block) {
        let location = Location { span: 0, block };
        Report { what: Misuse::Layout, ptr, location, size }.abort();
    }
    // SAFETY: by the caller.
    unsafe { free(ptr) }
}

/// Changes the size of a block, in place or elsewhere. `Some(null)` if there is no
/// memory; then the block is unchanged. `None` if it is not ours.
///
/// # Safety
/// The caller owns the block, and uses the one that is returned from now on.
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
    let mut to = alloc::grown(old, new, 1);
    if to.is_null() {
        to = pop(new).unwrap_or_else(|| alloc(new, 1));
    }
    // SAFETY: by the caller.
    unsafe { move_to(to, ptr, old.min(new)) };
    Some(to)
}

/// Like [`realloc()`], for a block that is not small, or not ours.
///
/// # Safety
/// As for [`realloc()`].
#[inline(never)]
unsafe fn realloc_large(ptr: *mut u8, new: usize) -> Option<*mut u8> {
    let old = usable(ptr)?;
    let kind = page_map::kind(MAP.entry(ptr));
    // A guarded block has what was requested, and moves.
    if kind != page_map::GUARDED && fits(new, old) {
        return Some(ptr);
    }
    if new > MAX_SIZE {
        return Some(ptr::null_mut());
    }
    match kind {
        page_map::MEDIUM if alloc::may_be_run(new, 1) && realloc::resize_run(ptr, old, new) => {
            return Some(ptr);
        }
        page_map::MEDIUM | page_map::HUGE
            if !is_medium(new, 1) && (realloc::is_huge(ptr) || realloc::promote_run(ptr, old)) =>
        {
            if let Some(moved) = realloc::resize_huge(ptr, old, new, 1) {
                return Some(moved);
            }
        }
        _ => {}
    }
    let more = with_room(old, new);
    let mut to = alloc::grown(old, more, 1);
    if to.is_null() {
        to = alloc(more, size_class::ANY);
    }
    if to.is_null() && more != new {
        to = alloc(new, size_class::ANY);
    }
    // SAFETY: by the caller.
    unsafe { move_to(to, ptr, old.min(new)) };
    Some(to)
}

/// Copies `bytes` from the block `from` to the block `to`, and frees `from`. Does
/// nothing if `to` is null.
///
/// # Safety
/// Both blocks hold `bytes`, and `from` is no longer used.
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

/// The size to allocate when a block of `old` bytes must move to grow to `new`. A
/// block that grows once often grows again, and page runs are as small as requested,
/// so each step would copy the block: the new one gets an eighth more.
fn with_room(old: usize, new: usize) -> usize {
    if new > old && old > SMALL_MAX && is_medium(new, 1) {
        return new.max(old + old / 8).min(MEDIUM_MAX);
    }
    new
}

/// Whether a block of `block` bytes may be kept for `size`: it is large enough, and
/// a smaller one would not save much, or there is none. The smallest classes for C are
/// [`size_class::ANY`] bytes apart.
fn fits(size: usize, block: usize) -> bool {
    size <= block && size > block - (block / 4).max(size_class::ANY)
}

/// Bytes of the block at `ptr`, all of which may be used. `None` if it is not ours.
#[must_use]
pub fn usable(ptr: *mut u8) -> Option<usize> {
    let entry = MAP.entry(ptr);
    if page_map::owner(entry) == NO_HEAP {
        return empty_blocks::has(ptr).then(|| {
            empty_blocks::check(ptr);
            0
        });
    }
    let Some(shape) = size_class::SHAPES.get(page_map::kind(entry) as usize) else {
        return Some(match page_map::kind(entry) {
            page_map::GUARDED => block::bytes_at(ptr).0,
            _ => large_bytes(ptr, entry),
        });
    };
    let span = page_map::span_base(ptr);
    let block = shape.size as usize;
    if shape.block_at(ptr.addr() - span).is_none() {
        let location = Location { span, block };
        Report { what: Misuse::Interior, ptr, location, size: 0 }.abort();
    }
    Some(block)
}

/// Bytes of a block with this entry, which is not small, or guarded: then of its class.
fn large_bytes(ptr: *mut u8, entry: u32) -> usize {
    match page_map::kind(entry) {
        page_map::HUGE => huge_block::bytes_at(ptr),
        page_map::GUARDED => block::bytes_at(ptr).1,
        _ => page_runs::bytes_at(ptr),
    }
}

/// Ends the process because of a pointer that is not ours.
pub fn refuse(ptr: *mut u8) -> ! {
    let location = Location { span: 0, block: 0 };
    Report { what: Misuse::Foreign, ptr, location, size: 0 }.abort()
}

/// Sets up the allocator, unless an allocation did, and reads the options from the
/// environment, unless an allocation could.
pub fn start() {
    if init::ensure(Config::PLAIN) {
        options::read();
        handlers::install();
    }
}

/// Reads the options, if there is an environment by now, and says whether they leave
/// all requests to the system's allocator. `None`: there is no environment yet.
#[must_use]
pub fn system_is_chosen() -> Option<bool> {
    options::read().then(options::system_serves)
}

/// Whether the options request that every block be checked. Read together with
/// [`system_is_chosen`].
#[must_use]
pub fn hardened_is_chosen() -> bool {
    options::is_hardened()
}

/// The functions above in hardened mode, where no thread has a cache. Blocks that are made early
/// may be freed by the functions above, too.
pub mod hardened {
    use super::{Kind, MAX_SIZE, Mode, Said, blocks, empty_blocks, size_class};
    use core::ptr;

    /// A block of `size` bytes, all zero. Null if there is no memory or `size` is above
    /// `isize::MAX`.
    #[must_use]
    pub fn alloc(size: usize, align: usize, kind: Kind, mode: Mode) -> *mut u8 {
        if size == 0
            && align <= size_class::ANY
            && let Some(block) = empty_blocks::get()
        {
            return block;
        }
        if size > MAX_SIZE {
            return ptr::null_mut();
        }
        blocks::alloc(size, align.max(size_class::ANY), kind, mode)
    }

    /// Frees a block. False if it is not ours. Ends the process if it is not as it was made, or
    /// not what is said of it.
    ///
    /// # Safety
    /// The block is no longer used.
    pub unsafe fn free(ptr: *mut u8, said: Said, mode: Mode) -> bool {
        blocks::free(ptr, said, mode)
    }

    /// Changes the size of a block of the `malloc` family, as `realloc` above.
    ///
    /// # Safety
    /// The caller owns the block, and uses the one that is returned from now on.
    pub unsafe fn realloc(ptr: *mut u8, new: usize, mode: Mode) -> Option<*mut u8> {
        if new > MAX_SIZE {
            return blocks::usable(ptr).map(|_| ptr::null_mut());
        }
        let said = Said { kind: Kind::Malloc, size: None, align: None };
        // SAFETY: by the caller.
        unsafe { blocks::realloc(ptr, size_class::ANY, new, said, mode) }
    }

    /// Bytes of the block at `ptr`, as requested. `None` if it is not ours.
    #[must_use]
    pub fn usable(ptr: *mut u8) -> Option<usize> {
        blocks::usable(ptr)
    }
}

/// Calls `f` on the allocator's own stack, with all signals blocked: for what reads
/// statistics, which take 2 KiB. `f` calls nothing that may allocate.
pub fn on_own_stack<R>(f: impl FnOnce() -> R) -> R {
    own_stack::run(f)
}

/// Writes the heap profile to a new file.
///
/// # Errors
/// The error of the system, as in `errno`.
pub fn write_profile(path: &CStr) -> Result<(), c_int> {
    profile_text::write(path)
}

/// Whether blocks may be guarded: they have no more bytes than were requested.
#[must_use]
pub fn guards_are_on() -> bool {
    rate::get(For::Guards) != 0
}

/// Prints statistics to standard error.
pub fn print_stats() {
    stats::print();
}

/// Bytes of a block for `size` bytes and `align`. `None` if no block is so large.
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

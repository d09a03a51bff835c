//! Allocation, free and reallocation in hardened mode. A small block comes from a stock
//! (`thread/stock.rs`). A large one has a mapping of its own, unmapped at its free, and ends
//! where addresses without access begin; its tag is in a header before it.
//!
//! ```text
//!  small, page run   │ user ········ │canaries│ tag│
//!  large             │ unused │header, with the tag│ user ··········│ no access
//! ```

use core::ptr;

use crate::alloc;
use crate::background::helper;
use crate::base::geometry::{CHUNK, UNIT};
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::size_class::{self, CLASSES, SHAPES};
use crate::base::sync;
use crate::free;
use crate::hardened::tag::{State, TAG, Tag, Tagged};
use crate::pages::counters::COUNTERS;
use crate::pages::empty_blocks;
use crate::pages::held_back;
use crate::pages::huge_block;
use crate::pages::interrupted;
use crate::pages::page_runs;
use crate::process::config::Config;
use crate::process::init;
use crate::reclaim::failure;
use crate::reclaim::limit;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HEAP;
use crate::thread::inside;
use crate::thread::registry;
use crate::thread::slow_path::{self, SlowPath};
use crate::thread::stock::{self, Given};

/// Blocks of so many bytes and more have mappings of their own.
const MAPPED: usize = 128 << 10;

/// Bytes of the header of a large block: its size, and the tag.
const HEADER: usize = 16;

/// Every block is aligned to this.
const LEAST_ALIGN: usize = 8;

/// Who makes a block, and who frees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// C's `malloc` family, and Rust.
    Malloc = 0,
    /// C++'s `new` and `delete`.
    New = 1,
    /// C++'s `new[]` and `delete[]`.
    NewArray = 2,
}

/// When a request is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Before the options are known: the block may be freed in the usual way.
    Early,
    /// In hardened mode.
    Hardened,
}

/// What a free says of its block.
#[derive(Clone, Copy)]
pub struct Said {
    /// Who made it.
    pub kind: Kind,
    /// Its size, if the free names one.
    pub size: Option<usize>,
    /// Its alignment, if the free names one.
    pub align: Option<usize>,
}

/// A block in use, as its tag says.
#[derive(Clone, Copy)]
struct Found {
    /// What carries the tag: the block, or its header.
    tagged: Tagged,
    tag: Tag,
    size: usize,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Small { class: usize, index: usize },
    Run,
    Huge,
}

/// A block, all zero; null if there is no memory, of which the program is told.
///
/// The layout is valid, or so large that there is no block for it.
pub(crate) fn alloc(size: usize, align: usize, kind: Kind, mode: Mode) -> *mut u8 {
    let block = get(size, align, kind, mode);
    if block.is_null() && !slow_path::is_inside() {
        failure::check(block, size);
    }
    block
}

/// A block, all zero; null if there is none, after all that is held back was freed.
fn get(size: usize, align: usize, kind: Kind, mode: Mode) -> *mut u8 {
    let align = align.max(LEAST_ALIGN);
    let class = class_of(size, align);
    if class == CLASSES && mode == Mode::Hardened && size >= MAPPED && align <= UNIT {
        return mapped(size, align, kind);
    }
    let get = || match class {
        CLASSES => {
            let zeroed = !alloc::is_medium(size + TAG, align);
            alloc::take_large(size + TAG, align, zeroed, Config::PLAIN).0
        }
        class => small(class, mode),
    };
    let mut block = get();
    if block.is_null() && give_up_held_back() {
        block = get();
    }
    if block.is_null() {
        return block;
    }
    // In a signal handler, it may be a page run.
    let entry = MAP.entry(block);
    let bytes = match SHAPES.get(page_map::kind(entry) as usize) {
        Some(shape) => shape.size as usize,
        None => extent(block, entry).0,
    };
    let tagged = Tagged { at: block, bytes };
    // SAFETY: the block is the caller's.
    unsafe {
        if page_map::kind(entry) != page_map::HUGE && !tagged.is_zero() {
            report(Misuse::AfterFree, block, 0);
        }
        tagged.dress(Tag {
            slack: bytes - TAG - size,
            kind: kind as u8,
            align: align.trailing_zeros() as u8,
        });
    }
    block
}

/// The class of a block with its tag; [`CLASSES`] if there is none.
#[inline]
fn class_of(size: usize, align: usize) -> usize {
    let bytes = size.saturating_add(TAG);
    match size_class::of_any(bytes) {
        Some(class) if align <= size_class::ANY => class,
        _ => size_class::of(bytes, align),
    }
}

/// A small block; null if there is no memory.
#[inline]
fn small(class: usize, mode: Mode) -> *mut u8 {
    if !init::ensure(Config::PLAIN) {
        return ptr::null_mut();
    }
    let block = match mode {
        Mode::Early => ptr::null_mut(),
        Mode::Hardened => stock::take(class),
    };
    if block.is_null() { refill(class, mode) } else { block }
}

#[cold]
#[inline(never)]
fn refill(class: usize, mode: Mode) -> *mut u8 {
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    let get = || match mode {
        Mode::Early => registry::alloc_without_cache(class),
        Mode::Hardened => stock::refill(class),
    };
    let mut block = get();
    if block.is_null() && (stock::flush_all() | held_back::free_all()) {
        block = get();
    }
    if block.is_null() && (slow.is_nested() || interrupted::is_any_lock_held_here()) {
        block = registry::alloc_while_interrupted(class);
    }
    COUNTERS.note_refusal(block);
    if slow.leave() {
        helper::check_growth();
        limit::check();
    }
    block
}

/// A block with a mapping of its own.
fn mapped(size: usize, align: usize, kind: Kind) -> *mut u8 {
    if !huge_block::is_guarded() {
        huge_block::guard_from_now_on(true);
    }
    let Some(rounded) = size.checked_next_multiple_of(align.max(HEADER)) else {
        return ptr::null_mut();
    };
    // Aligned to a chunk, it is a mapping of its own whatever its size.
    let get = || alloc::take_large(rounded.saturating_add(HEADER), CHUNK, true, Config::PLAIN).0;
    let mut base = get();
    if base.is_null() && give_up_held_back() {
        base = get();
    }
    if base.is_null() {
        return base;
    }
    let block = base.wrapping_add(huge_block::bytes_at(base) - rounded);
    let header = Tagged { at: block.wrapping_sub(HEADER), bytes: HEADER };
    let tag = Tag { slack: 0, kind: kind as u8, align: align.trailing_zeros() as u8 };
    // SAFETY: the mapping is ours, and has room for the header and the block.
    unsafe {
        header.at.cast::<usize>().write(size);
        header.set(tag);
        block.add(size).write_bytes(END, rounded - size);
    }
    block
}

/// Frees what is held back. Returns whether that was anything.
#[cold]
fn give_up_held_back() -> bool {
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    let any = held_back::free_all();
    slow.leave();
    any
}

/// Fills what is behind a large block up to the end of its last page.
const END: u8 = 0xa7;

/// Bytes from a block's address to the end of its class, run or mapping; and where it is. Ends
/// the process if no block starts there.
#[inline(always)]
fn extent(ptr: *mut u8, entry: u32) -> (usize, Place) {
    let class = page_map::kind(entry) as usize;
    let Some(shape) = SHAPES.get(class) else {
        return match page_map::kind(entry) {
            page_map::HUGE => (huge_block::bytes_at(ptr), Place::Huge),
            _ => (page_runs::bytes_at(ptr), Place::Run),
        };
    };
    let index = shape.block_at(ptr.addr() - page_map::span_base(ptr));
    let Some(index) = index.filter(|index| *index < shape.blocks as usize) else {
        report(Misuse::Interior, ptr, 0)
    };
    (shape.size as usize, Place::Small { class, index })
}

/// The block in use at a pointer of ours. Ends the process if there is none, or it is damaged.
#[inline(always)]
fn find(ptr: *mut u8, entry: u32) -> Found {
    if page_map::kind(entry) == page_map::HUGE {
        let base = MAP.chunk_base(MAP.chunk_index(ptr));
        if held_back::has(base) {
            report(Misuse::DoubleFree, ptr, 0);
        }
        if ptr != base {
            return find_mapped(ptr, base);
        }
    }
    let (bytes, place) = extent(ptr, entry);
    let tagged = Tagged { at: ptr, bytes };
    match tagged.state() {
        State::Free => report(Misuse::DoubleFree, ptr, 0),
        State::InUse(tag) if tag.slack <= bytes - TAG => {
            // SAFETY: the program has the block, and gave it to us.
            if !unsafe { tagged.has_canaries(tag) } || !is_neighbour_intact(ptr, place) {
                report(Misuse::Damaged, ptr, 0);
            }
            Found { tagged, tag, size: tagged.size(tag), place }
        }
        _ => report(Misuse::Damaged, ptr, 0),
    }
}

#[cold]
fn find_mapped(ptr: *mut u8, base: *mut u8) -> Found {
    let bytes = huge_block::bytes_at(base);
    let offset = ptr.addr() - base.addr();
    if offset < HEADER || offset > bytes || !offset.is_multiple_of(HEADER) {
        report(Misuse::Interior, ptr, 0);
    }
    let tagged = Tagged { at: ptr.wrapping_sub(HEADER), bytes: HEADER };
    let State::InUse(tag) = tagged.state() else { report(Misuse::Interior, ptr, 0) };
    // SAFETY: the header lies in the mapping.
    let size = unsafe { tagged.at.cast::<usize>().read() };
    let rest = (bytes - offset).checked_sub(size);
    // SAFETY: what is behind the block lies in the mapping.
    let whole =
        rest.is_some_and(|rest| (0..rest).all(|i| unsafe { ptr.add(size + i).read() } == END));
    if !whole {
        report(Misuse::Damaged, ptr, 0);
    }
    Found { tagged, tag, size, place: Place::Huge }
}

/// Whether the tag that lies just before a small block is one: that of a block in use, or of a
/// free one. A write before the start of the block hits it.
fn is_neighbour_intact(ptr: *mut u8, place: Place) -> bool {
    let Place::Small { class, index } = place else { return true };
    if index != 0 {
        let bytes = size_class::size(class);
        let before = Tagged { at: ptr.wrapping_sub(bytes), bytes };
        return !matches!(before.state(), State::Damaged);
    }
    if ptr.addr().is_multiple_of(CHUNK) {
        return true;
    }
    // The end of another span of the chunk, or of free granules, which are zero.
    let entry = MAP.entry(ptr.wrapping_sub(1));
    let shape = SHAPES.get(page_map::kind(entry) as usize);
    let base = page_map::span_base(ptr.wrapping_sub(1));
    let last = |shape: &size_class::Shape| base + shape.blocks as usize * shape.size as usize;
    let bytes = match shape {
        Some(shape) if page_map::owner(entry) != NO_HEAP && last(shape) == ptr.addr() => {
            shape.size as usize
        }
        _ => TAG,
    };
    let state = Tagged { at: ptr.wrapping_sub(bytes), bytes }.state();
    let intact = matches!(state, State::Free) || (bytes != TAG && matches!(state, State::InUse(_)));
    intact || changes_hands(ptr.wrapping_sub(1), entry)
}

/// Whether what lies at a place is no longer what its entry said: another thread got it. What
/// that one wrote there may be seen before its entry is, so there is time for that.
#[cold]
fn changes_hands(at: *mut u8, entry: u32) -> bool {
    MAP.entry(at) != entry || {
        sync::nap();
        MAP.entry(at) != entry
    }
}

/// Frees a block. False if it is not ours. A misuse ends the process; what the default lets
/// pass does not while the options are not known.
pub(crate) fn free(ptr: *mut u8, said: Said, mode: Mode) -> bool {
    let entry = MAP.entry(ptr);
    if page_map::owner(entry) == NO_HEAP {
        let empty = empty_blocks::has(ptr);
        if empty {
            empty_blocks::put(ptr);
        }
        return empty;
    }
    let found = find(ptr, entry);
    if mode == Mode::Hardened {
        check_said(ptr, found, said);
    }
    // SAFETY: the program gave us the block.
    unsafe { give_back(ptr, entry, found, mode) };
    true
}

/// Ends the process if what a free says of its block is not so.
fn check_said(ptr: *mut u8, found: Found, said: Said) {
    if found.tag.kind != said.kind as u8 {
        report(Misuse::Family, ptr, 0);
    }
    let align = said.align.map(|align| align.max(LEAST_ALIGN).trailing_zeros() as u8);
    if said.size.is_some_and(|size| size != found.size)
        || align.is_some_and(|align| align != found.tag.align)
    {
        report(Misuse::Layout, ptr, said.size.unwrap_or(0));
    }
}

/// # Safety
/// The block is no longer used.
unsafe fn give_back(ptr: *mut u8, entry: u32, found: Found, mode: Mode) {
    if let Place::Huge = found.place {
        let base = MAP.chunk_base(MAP.chunk_index(ptr));
        if !found.tagged.clear() {
            report(Misuse::DoubleFree, ptr, 0);
        }
        // SAFETY: by the caller.
        return unsafe { hold_back(base) };
    }
    // SAFETY: by the caller.
    unsafe { found.tagged.wipe(found.tag) };
    if !found.tagged.clear() {
        report(Misuse::DoubleFree, ptr, 0);
    }
    match found.place {
        Place::Small { class, .. } if mode == Mode::Hardened => give_small(ptr, class),
        Place::Small { class, .. } => put_back(ptr, class),
        _ => free::free_other(ptr, entry, found.tagged.bytes),
    }
}

/// Frees a block with a mapping of its own.
///
/// # Safety
/// The block is no longer used.
unsafe fn hold_back(base: *mut u8) {
    // SAFETY: by the caller.
    in_slow_path(|| unsafe { held_back::put(base, huge_block::bytes_at(base)) });
}

#[inline]
fn give_small(ptr: *mut u8, class: usize) {
    match stock::give(ptr, class) {
        Given::Kept => {}
        Given::Full(stock) => in_slow_path(|| stock::put_back_some(stock, class)),
        Given::Refused => put_back(ptr, class),
    }
}

#[cold]
#[inline(never)]
fn put_back(ptr: *mut u8, class: usize) {
    in_slow_path(|| stock::put_back(ptr, class));
}

/// Frees memory, without a cache.
#[cold]
#[inline(never)]
fn in_slow_path(free: impl FnOnce()) {
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    free();
    if slow.leave() {
        helper::check_excess();
    }
}

/// Changes the size of a block, in place or elsewhere. `Some(null)` if there is no memory;
/// then the block is unchanged. `None` if it is not ours.
///
/// # Safety
/// The caller owns the block, and uses the one that is returned from now on.
pub(crate) unsafe fn realloc(
    ptr: *mut u8,
    align: usize,
    new: usize,
    said: Said,
    mode: Mode,
) -> Option<*mut u8> {
    let entry = MAP.entry(ptr);
    let old = usable(ptr)?;
    if page_map::owner(entry) != NO_HEAP {
        let found = find(ptr, entry);
        // SAFETY: by the caller.
        if unsafe { resize(found, align, new) } {
            return Some(ptr);
        }
    }
    let to = alloc(new, align, said.kind, mode);
    if !to.is_null() {
        // SAFETY: by the caller; both blocks have so many bytes.
        unsafe { ptr::copy_nonoverlapping(ptr, to, old.min(new)) };
        free(ptr, said, mode);
    }
    Some(to)
}

/// Resizes a small block where it is, if it keeps its class. Returns whether it did.
///
/// # Safety
/// The caller owns the block.
unsafe fn resize(found: Found, align: usize, new: usize) -> bool {
    let Place::Small { class, .. } = found.place else { return false };
    if class_of(new, align.max(LEAST_ALIGN)) != class {
        return false;
    }
    let Found { tagged, tag, size, .. } = found;
    let from = size.min(new);
    // SAFETY: by the caller; it lies in the block.
    unsafe {
        // What the user gives up, and the canaries.
        tagged.at.add(from).write_bytes(0, size - from + tag.slack);
        tagged.dress(Tag { slack: tagged.bytes - TAG - new, ..tag });
    }
    true
}

/// Bytes of a block that its user may use: as many as were requested. `None` if it is not
/// ours.
pub(crate) fn usable(ptr: *mut u8) -> Option<usize> {
    let entry = MAP.entry(ptr);
    if page_map::owner(entry) == NO_HEAP {
        return empty_blocks::has(ptr).then(|| {
            empty_blocks::check(ptr);
            0
        });
    }
    Some(find(ptr, entry).size)
}

/// Ends the process because of a pointer that is not ours.
#[cfg(feature = "hardened")]
#[cold]
pub(super) fn refuse(ptr: *mut u8, size: usize) -> ! {
    report(Misuse::Foreign, ptr, size)
}

#[cold]
#[inline(never)]
fn report(what: Misuse, ptr: *mut u8, size: usize) -> ! {
    Report { what, ptr, location: Location { span: 0, block: 0 }, size }.abort()
}

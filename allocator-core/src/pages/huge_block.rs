//! Huge blocks, above 1 MiB or aligned to more: each is a mapping of its own at the
//! start of a chunk of addresses. It grows and shrinks in place, or by moving its
//! pages; it is never copied. A few mappings of freed blocks are kept for blocks of the
//! same size.
//!
//! ```text
//!  addresses  │ chunk          │ chunk          │ chunk          │
//!  mapped     │################│######          │                │
//!             └ huge_bytes: 2.75 MiB; huge_chunks: 2 (3 with a guard: one
//!               chunk more, never mapped)
//! ```

use crate::base::geometry::CHUNK;
use crate::base::later;
use crate::base::lock::Lock;
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicUsize, Guarded};
use crate::heaps::heap_table;
use crate::pages::address_space;
use crate::pages::committed;
use crate::pages::tables;
use crate::pages::usage;
use crate::spans::page_map::{self, MAP};
use crate::sys;

/// Whether an unmapped chunk of addresses follows each new huge block.
static GUARDS: AtomicBool = AtomicBool::new(false);

/// Sets whether addresses that fault follow each huge block allocated from now on.
pub(crate) fn guard_from_now_on(guard: bool) {
    GUARDS.store(guard, ordering::huge_guards());
}

/// Whether new huge blocks have guards.
pub(crate) fn is_guarded() -> bool {
    GUARDS.load(ordering::huge_guards())
}

/// Huge blocks that the program holds, and their bytes.
static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Number and bytes of the huge blocks that the program holds.
pub(crate) fn held() -> (usize, usize) {
    (BLOCKS.load(ordering::huge_count()), BYTES.load(ordering::huge_count()))
}

fn guards() -> usize {
    usize::from(is_guarded())
}

/// Bytes mapped for a block of `size`, or `None` on overflow.
pub(crate) fn bytes_for(size: usize) -> Option<usize> {
    size.max(1).checked_next_multiple_of(sys::page_size())
}

/// Allocates a block, zeroed on request; `None` if the system or the limit refuses.
pub(crate) fn get(size: usize, align: usize, zeroed: bool) -> Option<*mut u8> {
    let bytes = bytes_for(size)?;
    let chunks = bytes.div_ceil(CHUNK) + guards();
    if let Some(index) = take_kept(bytes, chunks, (align / CHUNK).max(1)) {
        took(bytes, bytes);
        let ptr = enter(index);
        if zeroed {
            clear(ptr, bytes);
        }
        return Some(ptr);
    }
    committed::charge(bytes).ok()?;
    let Some(mapped) = address_space::map(chunks, (align / CHUNK).max(1), bytes) else {
        committed::discharge(bytes);
        return None;
    };
    took(bytes, 0);
    settle(mapped.at, bytes, mapped.bytes, chunks);
    usage::grew_to(address_space::mapped());
    Some(enter(mapped.at))
}

/// Counts a new block, of which `dirty` bytes were free memory.
fn took(bytes: usize, dirty: usize) {
    BLOCKS.fetch_add(1, ordering::huge_count());
    BYTES.fetch_add(bytes, ordering::huge_count());
    usage::took_large(bytes, dirty);
}

/// Counts a freed block, of which `dirty` bytes are kept.
fn gave(bytes: usize, dirty: usize) {
    BLOCKS.fetch_sub(1, ordering::huge_count());
    BYTES.fetch_sub(bytes, ordering::huge_count());
    usage::gave_large(bytes, dirty);
}

/// Zeroes a kept mapping: by purging it, if that works.
fn clear(ptr: *mut u8, bytes: usize) {
    // SAFETY: the mapping is ours.
    unsafe {
        if !sys::purge(ptr, bytes) {
            ptr.write_bytes(0, bytes);
        }
    }
}

/// Records the extent of a block of `bytes` that starts at a chunk.
fn settle(index: usize, bytes: usize, mapped: usize, chunks: usize) {
    let chunk = MAP.chunk(index);
    chunk.huge_bytes.store(bytes, ordering::chunk_huge());
    chunk.huge_mapped.store(mapped, ordering::chunk_huge());
    chunk.huge_chunks.store(chunks, ordering::chunk_huge());
}

/// Sets the page map's entry of a block that starts at a chunk.
fn enter(index: usize) -> *mut u8 {
    let ptr = MAP.chunk_base(index);
    MAP.set(ptr, 1, page_map::entry_of(heap_table::HUGE_OWNER, page_map::HUGE));
    ptr
}

/// Unmaps the mapping that starts at a chunk, and frees its addresses.
///
/// # Safety
/// Nobody uses it any more, and no entry leads there.
unsafe fn unmap(index: usize) {
    let chunk = MAP.chunk(index);
    let chunks = chunk.huge_chunks.load(ordering::chunk_huge());
    // SAFETY: by the caller.
    unsafe { address_space::unmap(index, chunks, chunk.huge_mapped.load(ordering::chunk_huge())) };
    usage::shrank_to(address_space::mapped());
}

/// Checks that a huge block of `size` starts at `ptr`. Returns the index of its chunk,
/// and its bytes.
fn check(ptr: *mut u8, size: usize) -> Result<(usize, usize), Report> {
    let index = MAP.chunk_index(ptr);
    let bytes = bytes_of(ptr, size)?;
    if bytes_for(size) != Some(bytes) {
        let location = Location { span: ptr.addr(), block: bytes };
        return Err(Report { what: Misuse::Layout, ptr, location, size });
    }
    Ok((index, bytes))
}

/// Bytes of the huge block at `ptr`. The entry says that one is there; the caller says
/// that it has `size`.
fn bytes_of(ptr: *mut u8, size: usize) -> Result<usize, Report> {
    let index = MAP.chunk_index(ptr);
    let bytes = MAP.chunk(index).huge_bytes.load(ordering::chunk_huge());
    if !ptr.addr().is_multiple_of(CHUNK) {
        let location = Location { span: MAP.chunk_base(index).addr(), block: bytes };
        return Err(Report { what: Misuse::Interior, ptr, location, size });
    }
    Ok(bytes)
}

/// Bytes of the huge block at `ptr`. The entry says that one is there.
pub(crate) fn bytes_at(ptr: *mut u8) -> usize {
    bytes_of(ptr, 0).unwrap_or_else(|report| report.abort())
}

/// Frees a block: keeps its mapping, or unmaps it. A misuse is noted, and has no effect.
pub(crate) fn put(ptr: *mut u8, size: usize) {
    let (index, bytes) = match check(ptr, size) {
        Ok(checked) => checked,
        Err(report) => return report.note(),
    };
    if address_space::is_held_here() {
        // SAFETY: by the caller, who frees the block.
        return unsafe { later::keep_block(ptr) };
    }
    MAP.set(ptr, 1, 0);
    if keep(index, bytes) {
        gave(bytes, bytes);
        return;
    }
    // SAFETY: the block was freed, and no entry leads there any more.
    unsafe { unmap(index) };
    gave(bytes, 0);
}

/// Mappings of blocks freed lately, kept for blocks of the same size. They count as
/// free memory, and are unmapped when that is purged.
struct Kept {
    lock: Lock,
    /// \[KEPT-LOCKED\] Their chunks, plus one; 0: the place is free.
    places: Guarded<[usize; KEPT]>,
}

/// Maximum number of kept mappings.
const KEPT: usize = 8;
/// Larger mappings, in bytes, are not kept.
const KEPT_BYTES: usize = 32 << 20;

// SAFETY: [KEPT-LOCKED] the places are touched only under the lock.
unsafe impl Sync for Kept {}

static KEPT_ONES: Kept = Kept { lock: Lock::new(), places: Guarded::new([0; KEPT]) };

fn kept<R>(f: impl FnOnce(&mut [usize; KEPT]) -> R) -> Option<R> {
    let _held = KEPT_ONES.lock.lock()?;
    // SAFETY: [KEPT-LOCKED].
    Some(KEPT_ONES.places.with(|places| f(unsafe { &mut *places })))
}

/// Keeps a mapping, if a place is free and addresses are not limited. Returns whether
/// it did.
fn keep(index: usize, bytes: usize) -> bool {
    let place = |places: &mut [usize; KEPT]| {
        let place = places.iter_mut().find(|place| **place == 0)?;
        *place = index + 1;
        Some(())
    };
    // Where addresses are limited, other parts of the process may need them.
    bytes <= KEPT_BYTES && sys::address_limit().is_none() && kept(place).flatten().is_some()
}

/// A kept mapping of exactly this size, if there is one.
fn take_kept(bytes: usize, chunks: usize, align: usize) -> Option<usize> {
    let fits = |place: &&mut usize| {
        let Some(index) = place.checked_sub(1) else { return false };
        let chunk = MAP.chunk(index);
        chunk.huge_bytes.load(ordering::chunk_huge()) == bytes
            && chunk.huge_chunks.load(ordering::chunk_huge()) == chunks
            && MAP.chunk_base(index).addr().is_multiple_of(align * CHUNK)
    };
    kept(|places| {
        let place = places.iter_mut().find(fits)?;
        core::mem::take(place).checked_sub(1)
    })?
}

/// Unmaps the kept mappings. Returns how many bytes.
pub(crate) fn purge() -> usize {
    let Some(places) = kept(core::mem::take) else { return 0 };
    let mut bytes = 0;
    for index in places.into_iter().filter_map(|place| place.checked_sub(1)) {
        bytes += MAP.chunk(index).huge_bytes.load(ordering::chunk_huge());
        // SAFETY: kept mappings belong to nobody, and this one is off its place.
        unsafe { unmap(index) };
    }
    usage::cleaned(bytes);
    bytes
}

/// The first chunk of each kept mapping.
pub(crate) fn kept_chunks() -> impl Iterator<Item = usize> {
    let places = kept(|places| *places).unwrap_or_default();
    places.into_iter().filter_map(|place| place.checked_sub(1))
}

/// Bytes of the mapping that starts at a chunk, and its chunks of addresses. Both may
/// be out of date.
pub(crate) fn extent(index: usize) -> (usize, usize) {
    let chunk = MAP.chunk(index);
    let chunks = chunk.huge_chunks.load(ordering::chunk_huge());
    (chunk.huge_bytes.load(ordering::chunk_huge()), chunks)
}

/// In the child of a fork: frees an orphaned lock. A place is consistent after every
/// single store.
pub(crate) fn after_fork() {
    if KEPT_ONES.lock.is_orphaned() {
        KEPT_ONES.lock.force_unlock();
    }
}

/// In the child of a fork: sets the number of blocks and their bytes.
pub(crate) fn set_held(blocks: usize, bytes: usize) {
    BLOCKS.store(blocks, ordering::huge_count());
    BYTES.store(bytes, ordering::huge_count());
}

/// Resizes a block from `old` bytes to `new`, keeping its contents; new bytes are zero.
/// Returns its address; `None`: it is unchanged.
pub(crate) fn resize(ptr: *mut u8, old: usize, new: usize, align: usize) -> Option<*mut u8> {
    let (_, old_bytes) = check(ptr, old).unwrap_or_else(|report| report.abort());
    let bytes = bytes_for(new)?;
    if bytes == old_bytes {
        return Some(ptr);
    }
    if address_space::is_held_here() {
        return None;
    }
    let more = bytes.saturating_sub(old_bytes);
    committed::charge(more).ok()?;
    let resized = resize_charged(ptr, old_bytes, bytes, align);
    match resized {
        None => committed::discharge(more),
        Some(_) if more == 0 => usage::shrank_to(address_space::mapped()),
        Some(_) => usage::grew_to(address_space::mapped()),
    }
    resized
}

/// As [`resize`], in bytes that are mapped; the new ones are charged.
fn resize_charged(ptr: *mut u8, old_bytes: usize, bytes: usize, align: usize) -> Option<*mut u8> {
    let index = MAP.chunk_index(ptr);
    let chunk = MAP.chunk(index);
    let had = chunk.huge_chunks.load(ordering::chunk_huge());
    let mapped = chunk.huge_mapped.load(ordering::chunk_huge());
    let chunks = bytes.div_ceil(CHUNK) + guards();
    if resize_here(index, had, chunks, mapped, bytes) {
        if chunks < had {
            address_space::give_back(index + chunks, had - chunks);
        }
        settle(index, bytes, bytes, chunks);
        note(old_bytes, bytes);
        address_space::resized(mapped, bytes);
        return Some(ptr);
    }
    if bytes <= mapped {
        return None;
    }
    let to = move_away(ptr, mapped, bytes, chunks, align)?;
    MAP.set(ptr, 1, 0);
    address_space::give_back(index, had);
    note(old_bytes, bytes);
    address_space::resized(mapped, bytes);
    Some(to)
}

fn note(old: usize, new: usize) {
    BYTES.fetch_add(new.wrapping_sub(old), ordering::huge_count());
    if new > old {
        usage::took_large(new - old, 0);
    } else {
        usage::gave_large(old - new, 0);
    }
}

/// Resizes a mapping in place, taking the addresses behind it if it needs them.
fn resize_here(index: usize, had: usize, chunks: usize, old: usize, new: usize) -> bool {
    if chunks > had && !address_space::take_at(index + had, chunks - had) {
        return false;
    }
    let opened = tables::make_readable(index + new.div_ceil(CHUNK));
    // SAFETY: the block is the caller's, the addresses behind it are ours.
    if opened && (old == new || unsafe { sys::resize(MAP.chunk_base(index), old, new) }) {
        return true;
    }
    if chunks > had {
        address_space::give_back(index + had, chunks - had);
    }
    false
}

/// Moves the pages of a mapping to new addresses with room for more.
fn move_away(ptr: *mut u8, old: usize, new: usize, chunks: usize, align: usize) -> Option<*mut u8> {
    let index = address_space::take(chunks, (align / CHUNK).max(1))?;
    let to = MAP.chunk_base(index);
    let moved = if tables::make_readable(index + new.div_ceil(CHUNK)) {
        // SAFETY: the addresses are ours; the block is the caller's.
        unsafe { move_onto(ptr, old, to, new) }
    } else {
        Err(true)
    };
    if let Err(vacant) = moved {
        if vacant {
            address_space::give_back(index, chunks);
        }
        return None;
    }
    settle(index, new, new, chunks);
    Some(enter(index))
}

/// Moves a mapping. `Err`: it was not moved; whether the target is still vacant, as it
/// should be.
///
/// # Safety
/// `[ptr, ptr + old)` is a mapping of ours, `[to, to + new)` are addresses of ours.
unsafe fn move_onto(ptr: *mut u8, old: usize, to: *mut u8, new: usize) -> Result<(), bool> {
    // SAFETY: by the caller.
    unsafe {
        if sys::reserve_at(to, new).is_err() {
            return Err(true);
        }
        if sys::move_to(ptr, old, to, new) {
            return Ok(());
        }
        Err(sys::release(to, new))
    }
}

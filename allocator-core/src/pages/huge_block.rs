//! Huge blocks, above 1 MiB or aligned to more: each has chunks of its own. It grows and
//! shrinks in place, or by moving its pages. The block that was freed last is on standby; the
//! chunks of others are spare: they serve what comes next, of whatever size. A page run that is alone in its chunk can become a
//! huge block.
//!
//! ```text
//!  addresses  │ chunk          │ chunk          │ chunk          │
//!  block      │################│######┊dirty┊   │                │
//!             └ huge_bytes: 2.75 MiB, huge_tail: 0.5 MiB; huge_chunks: 2 (3 with a
//!               guard: one chunk more, never mapped)
//! ```
//! All of the last chunk is mapped, but if addresses are limited, or the system refuses.

use crate::base::geometry::{CHUNK, CHUNK_GRANULES, GRANULE, UNIT};
use crate::base::later;
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::ordering;
use crate::base::shadow;
use crate::base::sync::{self, AtomicBool};
use crate::heaps::heap_table;
use crate::pages::address_space::{self, Charge};
use crate::pages::arena;
use crate::pages::committed::COMMITTED;
use crate::pages::counters::COUNTERS;
use crate::pages::freed_huge;
use crate::pages::page_runs::{self, Dirty};
use crate::pages::tables;
use crate::pages::thp;
use crate::pages::usage;
use crate::spans::page_map::{self, MAP};
use crate::spans::tail::Owner;
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

fn guards() -> usize {
    usize::from(is_guarded())
}

/// Bytes mapped for a block of `size`, or `None` on overflow.
#[inline]
pub(crate) fn bytes_for(size: usize) -> Option<usize> {
    // A power of two: no division.
    let rest = sys::page_size() - 1;
    Some(size.max(1).checked_add(rest)? & !rest)
}

/// Allocates a block, zeroed on request; `None` if the system or the limit refuses.
pub(crate) fn get(size: usize, align: usize, zeroed: bool) -> Option<*mut u8> {
    let bytes = bytes_for(size)?;
    let chunks = bytes.div_ceil(CHUNK) + guards();
    if align <= CHUNK
        && !is_guarded()
        && let Some(index) = freed_huge::take(bytes)
    {
        let ptr = MAP.chunk_base(index);
        if zeroed {
            clear(ptr, bytes, bytes);
        }
        return Some(ptr);
    }
    let mapped = arena::map(chunks, (align / CHUNK).max(1), bytes, Charge::Now)?;
    took(bytes, mapped.dirty);
    settle(mapped.at, bytes, mapped.bytes, chunks);
    MAP.chunk(mapped.at).huge_tail.set(mapped.tail);
    usage::grew_to(address_space::mapped());
    let ptr = enter(mapped.at);
    if zeroed && mapped.dirty != 0 {
        clear(ptr, bytes, mapped.dirty);
    }
    Some(ptr)
}

/// Counts a new block, of which `dirty` bytes were free memory.
fn took(bytes: usize, dirty: usize) {
    freed_huge::count(1, bytes);
    usage::took_large(bytes, dirty);
}

/// Larger blocks are zeroed by purging them: page faults for what is used of them take less
/// time.
const WRITTEN: usize = 32 << 20;

/// Zeroes a block of which `dirty` bytes may hold memory: by writing all of it only if that
/// is most of it.
fn clear(ptr: *mut u8, bytes: usize, dirty: usize) {
    let written = bytes <= WRITTEN && dirty > bytes / 2;
    // SAFETY: the block is ours.
    unsafe {
        if written || !sys::purge(ptr, bytes) {
            shadow::handed_out(ptr, bytes).write_bytes(0, bytes);
            shadow::taken_back(ptr, bytes);
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
    if MAP.chunk(index).huge_tail.is_freed() {
        let location = Location { span: ptr.addr(), block: bytes };
        return Err(Report { what: Misuse::DoubleFree, ptr, location, size });
    }
    Ok(bytes)
}

/// Bytes of the huge block at `ptr`. The entry says that one is there.
pub(crate) fn bytes_at(ptr: *mut u8) -> usize {
    bytes_of(ptr, 0).unwrap_or_else(|report| report.abort())
}

/// Frees a block: it is on standby, or its chunks become spare, or are unmapped. A misuse is noted, and has no
/// effect. Returns whether the block was freed: not if it has to wait.
pub(crate) fn put(ptr: *mut u8, size: usize) -> bool {
    let (index, bytes) = match check(ptr, size) {
        Ok(checked) => checked,
        Err(report) => {
            report.note();
            return false;
        }
    };
    if address_space::is_held_here() {
        // SAFETY: by the caller, who frees the block.
        unsafe { later::keep_block(ptr) };
        return false;
    }
    match MAP.chunk(index).huge_tail.free() {
        Owner::Frees(_) => freed_huge::put(index),
        Owner::Leaves => {}
        Owner::Freed => {
            let location = Location { span: ptr.addr(), block: bytes };
            Report { what: Misuse::DoubleFree, ptr, location, size }.note();
            return false;
        }
    }
    true
}

/// Purges the tail of the huge block that starts at a chunk, if one does. Returns how many
/// bytes.
pub(crate) fn purge_tail(index: usize) -> usize {
    let chunk = MAP.chunk(index);
    let Some(tail) = chunk.huge_tail.begin_purge() else { return 0 };
    let bytes = freed_huge::extent(index).bytes;
    // SAFETY: behind the block, in chunks that it keeps until the end of the purge.
    let purged = unsafe { sys::purge(MAP.chunk_base(index).wrapping_add(bytes), tail) };
    let left = if purged { 0 } else { tail };
    usage::cleaned(tail - left);
    if chunk.huge_tail.end_purge(tail, left) {
        freed_huge::free_chunks(index, left);
    }
    tail - left
}

/// Bytes of the mapping that starts at a chunk, and its chunks of addresses. Both may
/// be out of date.
pub(crate) fn extent(index: usize) -> (usize, usize) {
    let extent = freed_huge::extent(index);
    (extent.bytes, extent.chunks)
}

/// In the child of a fork: what becomes of the huge block that starts at a chunk, whose tail
/// a vanished thread may have been purging.
pub(crate) fn repair(index: usize) -> Repaired {
    let chunk = MAP.chunk(index);
    let (freed, tail) = chunk.huge_tail.after_fork();
    let freed_huge::Extent { bytes, mapped, chunks } = freed_huge::extent(index);
    if !freed {
        return Repaired { blocks: 1, bytes, dirty: tail, chunks: chunks.max(1) };
    }
    MAP.set(MAP.chunk_base(index), 1, 0);
    freed_huge::give_up(index, chunks, mapped, bytes + tail);
    Repaired { blocks: 0, bytes: 0, dirty: 0, chunks: chunks.max(1) }
}

/// A huge block in the child of a fork.
pub(crate) struct Repaired {
    /// 1; or 0: a vanished thread was to free it, and it is free.
    pub(crate) blocks: usize,
    pub(crate) bytes: usize,
    /// Bytes of its tail.
    pub(crate) dirty: usize,
    pub(crate) chunks: usize,
}

/// Whether a limit may be why a block cannot be resized.
pub(crate) fn is_limited() -> bool {
    COMMITTED.hard_limit() != 0 || address_space::are_limited()
}

/// Makes a huge block of the page run at `ptr`, of `size` bytes, if it starts a chunk and is alone
/// there: it can grow where it is. Returns whether it did.
pub(crate) fn promote(ptr: *mut u8, size: usize) -> bool {
    let entry = MAP.entry(ptr);
    let Some(arena) = arena::by_id(page_map::owner(entry)) else { return false };
    let units = page_runs::units(size.max(1));
    let bytes = units * UNIT;
    if page_map::kind(entry) != page_map::MEDIUM || is_guarded() || bytes_for(size) != Some(bytes) {
        return false;
    }
    let promote = |rest: Dirty| {
        let tail = rest.end.next_multiple_of(sys::page_size()).saturating_sub(bytes);
        // From now on all of the tail counts, clean or not.
        if usage::found_dirty(tail - rest.bytes).is_err() {
            return false;
        }
        let index = MAP.chunk_index(ptr);
        settle(index, bytes, CHUNK, 1);
        MAP.chunk(index).huge_tail.set(tail);
        MAP.set(ptr.wrapping_add(GRANULE), CHUNK_GRANULES - 1, 0);
        // In the child of a fork, the chunk is one or the other.
        sync::in_order();
        enter(index);
        true
    };
    let promoted = arena.page_runs.take_only_run(ptr, units, promote);
    if promoted {
        freed_huge::count(1, bytes);
    }
    promoted
}

/// Resizes a block from `old` bytes to `new`, keeping its contents. Returns its address;
/// `None`: it is unchanged.
pub(crate) fn resize(ptr: *mut u8, old: usize, new: usize, align: usize) -> Option<*mut u8> {
    let (index, old_bytes) = check(ptr, old).unwrap_or_else(|report| report.abort());
    let bytes = bytes_for(new)?;
    if bytes == old_bytes {
        return Some(ptr);
    }
    if address_space::is_held_here() {
        return None;
    }
    let chunk = MAP.chunk(index);
    // While somebody purges the tail, the block keeps its size.
    let tail = chunk.huge_tail.take()?;
    let freed_huge::Extent { mapped, chunks, .. } = freed_huge::extent(index);
    let extent = Extent { index, bytes: old_bytes, tail, mapped, chunks };
    let resized = if extent.mapped == extent.chunks * CHUNK {
        extent.resize_whole(bytes).or_else(|| extent.move_away(bytes, align))
    } else {
        extent.resize_exact(bytes).or_else(|| extent.move_away(bytes, align))
    };
    let Some(to) = resized else {
        chunk.huge_tail.set(tail);
        return None;
    };
    if bytes > old_bytes {
        usage::grew_to(address_space::mapped());
    } else {
        usage::shrank_to(address_space::mapped());
    }
    Some(to)
}

/// A block grows by much if it does by one part in so many.
const MUCH: usize = 5;

/// A block that is to be resized.
struct Extent {
    index: usize,
    bytes: usize,
    tail: usize,
    mapped: usize,
    chunks: usize,
}

impl Extent {
    /// Resizes a block whose chunks are mapped as a whole, where it is. Taken chunks behind it
    /// become spare, or spare and free ones become its own.
    fn resize_whole(&self, bytes: usize) -> Option<*mut u8> {
        let end = self.index + self.chunks;
        let chunks = bytes.div_ceil(CHUNK);
        let tail = if chunks < self.chunks {
            chunks * CHUNK - bytes
        } else if bytes <= self.bytes {
            self.tail + self.bytes - bytes
        } else {
            let more = bytes - self.bytes;
            // Memory of the tail is used again first.
            let own = self.tail.min(more);
            let (dirty, tail) = if chunks == self.chunks {
                COMMITTED.charge(more - own).ok()?;
                (own, self.tail - own)
            } else {
                let here = self.chunks * CHUNK - self.bytes - own;
                COMMITTED.charge(here).ok()?;
                let wanted = bytes - self.chunks * CHUNK;
                let extended =
                    address_space::extend(end, chunks - self.chunks, wanted, Charge::Now);
                let Some(extended) = extended else {
                    COMMITTED.discharge(here);
                    return None;
                };
                (own + extended.dirty, extended.tail)
            };
            usage::took_large(more, dirty);
            tail
        };
        if bytes < self.bytes {
            usage::gave_large(self.bytes - bytes, self.bytes - bytes);
        }
        settle(self.index, bytes, chunks * CHUNK, chunks);
        self.note(bytes);
        MAP.chunk(self.index).huge_tail.set(tail);
        if chunks < self.chunks {
            let (count, dirty) = (self.chunks - chunks, self.bytes + self.tail - chunks * CHUNK);
            freed_huge::give_up(self.index + chunks, count, count * CHUNK, dirty);
        }
        Some(MAP.chunk_base(self.index))
    }

    /// Resizes a block that has a mapping of its own, where it is.
    fn resize_exact(&self, bytes: usize) -> Option<*mut u8> {
        let more = bytes.saturating_sub(self.bytes);
        COMMITTED.charge(more).ok()?;
        let chunks = bytes.div_ceil(CHUNK) + guards();
        if !resize_mapping(self.index, self.chunks, chunks, self.mapped, bytes) {
            COMMITTED.discharge(more);
            return None;
        }
        if chunks < self.chunks {
            address_space::give_back(self.index + chunks, self.chunks - chunks);
        }
        settle(self.index, bytes, bytes, chunks);
        self.note(bytes);
        if bytes > self.bytes {
            usage::took_large(more, 0);
        } else {
            usage::gave_large(self.bytes - bytes, 0);
        }
        address_space::resized(self.mapped, bytes);
        MAP.chunk(self.index).huge_tail.set(0);
        Some(MAP.chunk_base(self.index))
    }

    /// Moves the pages of a block to new addresses with room for more. Not if it grows by much,
    /// and there are spare chunks for all of it: a copy takes less time than page faults for
    /// the new part, and they are used again.
    fn move_away(&self, bytes: usize, align: usize) -> Option<*mut u8> {
        let much = bytes.saturating_sub(self.bytes) >= self.bytes / MUCH;
        if bytes <= self.mapped || (much && address_space::has_spares(bytes.div_ceil(CHUNK))) {
            return None;
        }
        // The memory of the tail is part of the block then.
        let more = bytes - self.bytes;
        COMMITTED.charge(more - self.tail).ok()?;
        let chunks = bytes.div_ceil(CHUNK) + guards();
        let whole = self.mapped == self.chunks * CHUNK && guards() == 0;
        let mapped = if whole { chunks * CHUNK } else { bytes };
        let Some(index) = move_mapping(self.index, self.mapped, mapped, chunks, align) else {
            COMMITTED.discharge(more - self.tail);
            return None;
        };
        shadow::taken_back(MAP.chunk_base(index), mapped);
        shadow::taken_back(MAP.chunk_base(self.index), self.mapped);
        MAP.set(MAP.chunk_base(self.index), 1, 0);
        address_space::give_back(self.index, self.chunks);
        settle(index, bytes, mapped, chunks);
        self.note(bytes);
        usage::took_large(more, self.tail);
        usage::took_fresh((mapped - self.mapped).saturating_sub(more));
        address_space::resized(self.mapped, mapped);
        MAP.chunk(index).huge_tail.set(0);
        Some(enter(index))
    }

    fn note(&self, bytes: usize) {
        COUNTERS.large.bytes.add(bytes.saturating_sub(self.bytes));
        freed_huge::count(0, bytes.wrapping_sub(self.bytes));
    }
}

/// Resizes a mapping in place, taking the addresses behind it if it needs them.
fn resize_mapping(index: usize, had: usize, chunks: usize, old: usize, new: usize) -> bool {
    if chunks > had && !address_space::take_at(index + had, chunks - had) {
        return false;
    }
    let opened = tables::make_readable(index + new.div_ceil(CHUNK));
    // SAFETY: the block is the caller's, the addresses behind it are ours.
    let resize = || unsafe { sys::resize(MAP.chunk_base(index), old, new) };
    if opened && (old == new || thp::in_one_piece(resize)) {
        return true;
    }
    if chunks > had {
        address_space::give_back(index + had, chunks - had);
    }
    false
}

/// Moves a mapping to `chunks` new chunks of addresses, and makes it larger. Returns the first.
fn move_mapping(from: usize, old: usize, new: usize, chunks: usize, align: usize) -> Option<usize> {
    let index = address_space::take(chunks, (align / CHUNK).max(1))?;
    let to = MAP.chunk_base(index);
    let moved = if tables::make_readable(index + new.div_ceil(CHUNK)) {
        // SAFETY: the addresses are ours; the block is the caller's.
        unsafe { move_onto(MAP.chunk_base(from), old, to, new) }
    } else {
        Err(true)
    };
    match moved {
        Ok(()) => Some(index),
        Err(vacant) => {
            if vacant {
                address_space::give_back(index, chunks);
            }
            None
        }
    }
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
        if thp::in_one_piece(|| sys::move_to(ptr, old, to, new)) {
            return Ok(());
        }
        Err(sys::release(to, new))
    }
}

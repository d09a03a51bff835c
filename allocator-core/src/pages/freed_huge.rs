//! Freed huge blocks. The last one is on standby, as it is; the chunks of the others are spare,
//! or unmapped. Here are also the counts of huge blocks, which the one on standby is part of.

use crate::base::directory::{self, Address};
use crate::base::geometry::{CHUNK, UNIT};
use crate::base::ordering;
use crate::base::sync::AtomicUsize;
use crate::pages::address_space;
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::spans::page_map::MAP;
use crate::spans::standby::{Freed, STANDBY, Standby};

/// Huge blocks that the program holds or that are on standby, and their bytes.
static BLOCKS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Where the counts are, for readers outside of the process.
pub(crate) const fn places() -> directory::Huge {
    directory::Huge {
        blocks: Address::of(&raw const BLOCKS),
        bytes: Address::of(&raw const BYTES),
        standby: Address::of(&raw const STANDBY),
        unit: UNIT,
    }
}

/// Number and bytes of the huge blocks that the program holds.
pub(crate) fn held() -> (usize, usize) {
    let standby = STANDBY.seen();
    let blocks = BLOCKS.load(ordering::huge_count());
    let bytes = BYTES.load(ordering::huge_count());
    let freed = standby.map_or(0, |freed| freed.bytes);
    (blocks.saturating_sub(usize::from(standby.is_some())), bytes.saturating_sub(freed))
}

/// Counts blocks and bytes that the program got, modulo 2^64.
pub(super) fn count(blocks: usize, bytes: usize) {
    BLOCKS.fetch_add(blocks, ordering::huge_count());
    BYTES.fetch_add(bytes, ordering::huge_count());
}

/// In the child of a fork: sets the number of blocks and their bytes. None is on standby.
pub(crate) fn set_held(blocks: usize, bytes: usize) {
    BLOCKS.store(blocks, ordering::huge_count());
    BYTES.store(bytes, ordering::huge_count());
}

/// Where a huge block is.
pub(super) struct Extent {
    pub(super) bytes: usize,
    /// Bytes of its mapping.
    pub(super) mapped: usize,
    /// Its chunks of addresses.
    pub(super) chunks: usize,
}

/// The extent of the huge block that starts at a chunk.
pub(super) fn extent(index: usize) -> Extent {
    let chunk = MAP.chunk(index);
    Extent {
        bytes: chunk.huge_bytes.load(ordering::chunk_huge()),
        mapped: chunk.huge_mapped.load(ordering::chunk_huge()),
        chunks: chunk.huge_chunks.load(ordering::chunk_huge()),
    }
}

/// Puts the freed block that starts at a chunk on standby, and frees the chunks of the one that
/// was. A block that is not mapped as a whole is freed at once, and where addresses are limited
/// every one.
pub(super) fn put(index: usize) {
    let Extent { bytes, mapped, chunks } = extent(index);
    if mapped != chunks * CHUNK || bytes > Standby::MOST || address_space::are_limited() {
        free_chunks(index, MAP.chunk(index).huge_tail.of_freed());
        return;
    }
    let before = STANDBY.put(Freed { index, bytes });
    usage::gave_standby();
    if let Some(before) = before {
        free(before);
    }
}

/// Takes the block on standby for one of `bytes`, if it had as many, or as many chunks while none
/// is spare: where others are free, its chunks had better join them, so that free memory stays in
/// one piece. Returns the first. `None` also if the limit does not allow what it has less.
pub(super) fn take(bytes: usize) -> Option<usize> {
    // What is refused a size is freed, which a signal handler may be unable to do.
    let enough = !usage::may_have_spares() && !address_space::is_held_here();
    let freed = STANDBY.take(bytes, enough)?;
    let chunk = MAP.chunk(freed.index);
    let tail = chunk.huge_tail.of_freed();
    let left = if bytes == freed.bytes { Some(tail) } else { resize(freed, bytes, tail) };
    let Some(left) = left else {
        free(freed);
        return None;
    };
    chunk.huge_tail.set_again(left);
    Some(freed.index)
}

/// Gives a block that was on standby another size, within its chunks. Returns the bytes of its
/// tail; `None`: the limit does not allow it.
fn resize(freed: Freed, bytes: usize, tail: usize) -> Option<usize> {
    let left = if bytes > freed.bytes {
        let more = bytes - freed.bytes;
        // Memory of the tail is used first.
        let own = tail.min(more);
        COMMITTED.charge(more - own).ok()?;
        usage::took_large(more, own);
        tail - own
    } else {
        let less = freed.bytes - bytes;
        usage::gave_large(less, less);
        tail + less
    };
    BYTES.fetch_add(bytes.wrapping_sub(freed.bytes), ordering::huge_count());
    MAP.chunk(freed.index).huge_bytes.store(bytes, ordering::chunk_huge());
    Some(left)
}

/// Frees the chunks of the block on standby, if there is one. Returns how many bytes went back.
pub(crate) fn free_standby() -> usize {
    // In a signal handler that interrupts a change of the address space, they could not be.
    if address_space::is_held_here() {
        return 0;
    }
    STANDBY.take_any().map_or(0, free)
}

fn free(freed: Freed) -> usize {
    free_chunks(freed.index, MAP.chunk(freed.index).huge_tail.of_freed())
}

/// Frees the chunks of a block that nobody uses any more, and whose tail holds `tail` bytes.
/// Returns how many bytes went back.
pub(super) fn free_chunks(index: usize, tail: usize) -> usize {
    let Extent { bytes, mapped, chunks } = extent(index);
    MAP.set(MAP.chunk_base(index), 1, 0);
    BLOCKS.fetch_sub(1, ordering::huge_count());
    BYTES.fetch_sub(bytes, ordering::huge_count());
    usage::gave_large(bytes, bytes);
    give_up(index, chunks, mapped, bytes + tail)
}

/// Makes chunks spare that nobody uses any more, of which the first `dirty` bytes may hold
/// memory. If they are not mapped as a whole, or addresses are limited, unmaps them. Returns how
/// many bytes went back.
pub(super) fn give_up(index: usize, chunks: usize, mapped: usize, dirty: usize) -> usize {
    if mapped == chunks * CHUNK && !address_space::are_limited() {
        address_space::keep(index, chunks, dirty - (chunks - 1) * CHUNK);
        return 0;
    }
    // What is spare may be in the program's way as well.
    let others = if address_space::are_limited() { purge(usize::MAX) } else { 0 };
    // SAFETY: the block was freed, and no entry leads there any more.
    let left = unsafe { address_space::unmap(index, chunks, mapped) };
    usage::unmapped(dirty, left);
    usage::shrank_to(address_space::mapped());
    others + dirty.saturating_sub(left)
}

/// Unmaps spare chunks, those of the block on standby too, until `want` bytes of memory went
/// back. Returns how many.
pub(crate) fn purge(want: usize) -> usize {
    // Where addresses are limited, that unmaps it.
    let unmapped = free_standby();
    let bytes = address_space::purge_spares(want);
    usage::cleaned(bytes);
    unmapped + bytes
}

/// In the child of a fork that makes the counts again: the block on standby is found by its tail,
/// as one that a vanished thread was freeing.
pub(crate) fn forget_standby() {
    STANDBY.forget();
}

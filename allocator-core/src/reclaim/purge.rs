//! Purging of free memory: granules, page runs, spare chunks and tails of huge blocks go back to the
//! system once there is more of them than the bound in `usage.rs` allows. Addresses
//! stay, except those of chunks that are free as a whole. No lock is held across a
//! system call.

use crate::base::bits;
use crate::base::geometry::{CHUNK, GRANULE};
use crate::base::lock::{Lock, Wait};
use crate::base::ordering;
use crate::base::sync::{self, AtomicUsize};
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::committed::COMMITTED;
use crate::pages::counters::COUNTERS;
use crate::pages::freed_huge;
use crate::pages::huge_block;
use crate::pages::interrupted::is_any_lock_held_here;
use crate::pages::thp;
use crate::pages::usage;
use crate::spans::page_map::{self, MAP};
use crate::sys;

/// Held by the thread that purges. The others do not wait for it, unless they purge all.
static BUSY: Lock = Lock::new();

/// Purging goes from high addresses to low ones: new spans are created low. The next
/// purge starts below this chunk.
static CURSOR: AtomicUsize = AtomicUsize::new(0);

/// Purges all free memory. Returns how many bytes. Waits for a thread that is purging
/// already: that one may stop earlier. In a signal handler that interrupts a purge, does
/// nothing; nor where one interrupts the holder of another lock, which the thread that is
/// purging may wait for.
pub(crate) fn purge_all() -> usize {
    let waits = !is_any_lock_held_here() && sync::step("purge_waits");
    let held = BUSY.lock_as(if waits { Wait::Yes } else { Wait::No });
    held.map_or(0, |_held| purge_locked(usize::MAX))
}

/// Whether the calling thread purges: in a signal handler, what it interrupted may.
pub(crate) fn is_held_here() -> bool {
    BUSY.is_held_here()
}

/// When the system or the hard limit refuses memory: purges all free memory. Returns
/// whether another try makes sense.
#[cold]
pub(crate) fn make_room() -> bool {
    // Under a limit, another thread may have freed enough.
    (!is_in_vain() && purge_for_room() != 0) || COMMITTED.hard_limit() != 0
}

/// Dirty bytes that were left when [`make_room`] last purged nothing.
static LEFT: AtomicUsize = AtomicUsize::new(UNKNOWN);

/// It purged something.
const UNKNOWN: usize = usize::MAX;

/// Calls of [`make_room`] since then that found as many.
static IN_VAIN: AtomicUsize = AtomicUsize::new(0);

/// Of so many such calls one purges all the same, as do the first, second, fourth and so on:
/// the bytes may be others.
const IN_VAIN_EACH: usize = 1 << 12;

/// Whether a purge would find nothing: a program may ask for memory that there is not a
/// million times, and its heap may have many chunks.
fn is_in_vain() -> bool {
    if usage::dirty() != LEFT.load(ordering::purge_in_vain()) {
        IN_VAIN.store(0, ordering::purge_in_vain());
        return false;
    }
    let calls = IN_VAIN.fetch_add(1, ordering::purge_in_vain()) + 1;
    !(calls.is_power_of_two() || calls.is_multiple_of(IN_VAIN_EACH))
}

fn purge_for_room() -> usize {
    let before = usage::dirty();
    let bytes = purge_all();
    // In a signal handler that interrupts a purge, or the holder of a lock, nothing was tried.
    let in_vain = bytes == 0 && !is_held_here() && !is_any_lock_held_here();
    let left = if in_vain && usage::dirty() == before { before } else { UNKNOWN };
    LEFT.store(left, ordering::purge_in_vain());
    IN_VAIN.store(0, ordering::purge_in_vain());
    bytes
}

/// Purges about `want` bytes. Returns how many; `None`: another thread is purging.
pub(crate) fn purge(want: usize) -> Option<usize> {
    BUSY.try_lock().map(|_held| purge_locked(want))
}

/// The minimum of free bytes since the last call, with those of a block on standby from now on:
/// who needs it next takes its chunks.
pub(crate) fn take_low_water() -> usize {
    freed_huge::free_standby();
    usage::take_low_water()
}

/// Purges about `want` bytes, under the lock. Returns how many.
fn purge_locked(want: usize) -> usize {
    if address_space::is_held_here() {
        return 0;
    }
    let chunks = MAP.used_chunks();
    let mut done = freed_huge::purge(want);
    let from = CURSOR.load(ordering::purge_cursor()).min(chunks);
    let below = address_space::in_use_down(0, from);
    let mut at = from;
    for index in below.chain(address_space::in_use_down(from, chunks)) {
        if done >= want {
            break;
        }
        at = index;
        done += purge_chunk(index);
    }
    // The next purge starts at the top again if this one found enough.
    CURSOR.store(if done >= want { chunks } else { at }, ordering::purge_cursor());
    usage::shrank_to(address_space::mapped());
    COUNTERS.purges.add(usize::from(done != 0));
    done
}

fn purge_chunk(index: usize) -> usize {
    let granules = &MAP.chunk(index).granules;
    let dirty = granules.dirty_hint();
    // A chunk that is all free and clean is still unmapped.
    if dirty != 0 || granules.free_hint() == u64::MAX {
        return purge_granules(index, dirty);
    }
    let entry = MAP.entry(MAP.chunk_base(index));
    if page_map::kind(entry) == page_map::HUGE {
        return huge_block::purge_tail(index);
    }
    if page_map::kind(entry) != page_map::MEDIUM {
        return 0;
    }
    let Some(arena) = arena::by_id(page_map::owner(entry)) else { return 0 };
    arena.page_runs.purge(index, sys::page_size())
}

fn purge_granules(index: usize, dirty: u64) -> usize {
    let granules = &MAP.chunk(index).granules;
    let base = MAP.chunk_base(index);
    if granules.claim_all() {
        let bytes = granules.take_dirty(u64::MAX).count_ones() as usize * GRANULE;
        // SAFETY: we claimed all of the chunk.
        let left = unsafe {
            // The child of a fork can give the memory of a chunk back, but not tell whether a
            // vanished thread has unmapped it: then it holds none.
            sys::purge(base, CHUNK);
            arena::retire(MAP.chunk(index));
            address_space::unmap(index, 1, CHUNK)
        };
        usage::unmapped(bytes, left);
        return bytes;
    }
    let page = (sys::page_size() / GRANULE).max(1);
    let clean = granules.clean(of_free_pages(dirty, granules.free_hint(), page), |first, len| {
        // One granule of a page of several may be in use by now.
        // SAFETY: we claimed these granules.
        (first | len).is_multiple_of(page)
            && unsafe { sys::purge(base.add(first * GRANULE), len * GRANULE) }
    });
    let bytes = clean.cleaned as usize * GRANULE;
    if bytes != 0 {
        thp::left_huge_page(index);
    }
    usage::cleaned(bytes);
    arena::give_back(index, clean.claimed, clean.dirty);
    bytes
}

/// The granules of all pages that are free as a whole and hold memory; a page has
/// `page` granules: 1 or 2.
fn of_free_pages(dirty: u64, free: u64, page: usize) -> u64 {
    if page == 1 {
        return dirty;
    }
    let firsts = bits::aligned_runs(free, page) & (dirty | dirty >> 1);
    firsts | firsts << 1
}

/// In the child of a fork: no other thread purges. Granules that a vanished thread had
/// claimed to purge stay claimed, and are lost.
pub(crate) fn after_fork() {
    if BUSY.is_orphaned() {
        BUSY.force_unlock();
    }
}

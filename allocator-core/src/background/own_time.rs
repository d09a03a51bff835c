//! Giving free memory back on the program's own time, where there is no helper: the free
//! that has too much free memory purges down to the bound.
//!
//! Memory that was purged too early is needed again, and costs page faults. These may
//! take one part in fifty of the program's time: what was needed again puts off the next
//! purge. A program that frees much now and then purges at once; one that frees and
//! allocates in turn, many times a second, keeps its memory.
//!
//! ```text
//!  free │    ╭╮    ╭╮  ╭╮  ╭╮        ╭╮
//!       │- - │╰╮ - │╰──╯╰──╯╰──────╯ ╰╮ - - bound
//!       │────╯ ╰───╯                  ╰───
//!         purged   needed again:      time has passed:
//!                  put off            purged
//! ```

use crate::background::huge_page_collapse;
use crate::background::span_purge;
use crate::base::ordering;
use crate::base::sync::{AtomicU32, AtomicU64, AtomicUsize};
use crate::pages::cgroup;
use crate::pages::committed;
use crate::pages::usage;
use crate::reclaim::purge;
use crate::sys;
use crate::thread::registry;

/// Caches of threads that vanished in a fork that one call ends.
const VANISHED: usize = 16;

/// A search that finds less than one byte in so many was not worth its time.
const POOR: usize = 8;

/// Bytes that were needed again put off the next purge by a millisecond for so many: their
/// page faults take one part in fifty of that.
const PER_MILLISECOND: usize = 80 << 10;

/// Bytes purged here that were not needed again so far.
static PURGED: AtomicUsize = AtomicUsize::new(0);

/// Committed bytes after the last purge.
static AFTER: AtomicUsize = AtomicUsize::new(0);

/// When the next purge may be, in milliseconds.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Purges down to the bound, unless that is put off.
pub(super) fn give_back() {
    registry::end_vanished(VANISHED);
    let short = cgroup::estimate(committed::bytes());
    let mut well = true;
    if short || may_purge() {
        let excess = usage::excess();
        let Some(mut bytes) = purge::purge(excess) else {
            // Another thread is at it.
            return;
        };
        let unwanted = usage::unwanted_loose();
        if unwanted != 0 {
            let found = span_purge::search(unwanted, false).bytes;
            well = found >= unwanted / POOR;
            bytes += found;
        }
        PURGED.fetch_add(bytes, ordering::own_time());
        AFTER.store(committed::bytes(), ordering::own_time());
    }
    usage::purged_alone(well);
    let more = collapse();
    if !usage::recheck_excess() && more {
        usage::set_excess();
    }
    CALLS.store(if more { BETWEEN_CHUNKS } else { 0 }, ordering::own_time());
}

/// Slow-path calls between two looks whether it is time for a chunk.
const BETWEEN_CHUNKS: u32 = 256;

/// Slow-path calls until the next look; 0: no chunks wait to be examined.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Milliseconds from one chunk that is examined for a huge page to the next.
const CHUNK_EVERY: u64 = 20;

/// When the next chunk may be examined, in milliseconds.
static NEXT_CHUNK: AtomicU64 = AtomicU64::new(0);

/// Whether there is nothing to do at this call but wait for the next chunk.
pub(super) fn waits() -> bool {
    let calls = CALLS.load(ordering::own_time());
    if calls == 0 || usage::is_too_much() {
        return false;
    }
    CALLS.store(calls - 1, ordering::own_time());
    calls != 1
}

/// Examines a chunk of a heap that grew large, now and then. Returns whether any are left.
fn collapse() -> bool {
    if usage::take_grew() {
        huge_page_collapse::begin();
    }
    if !huge_page_collapse::is_busy() {
        return false;
    }
    let now = sys::monotonic_ms();
    if now < NEXT_CHUNK.load(ordering::own_time()) {
        return true;
    }
    NEXT_CHUNK.store(now + CHUNK_EVERY, ordering::own_time());
    huge_page_collapse::step(1)
}

/// Whether it is time for a purge. What was needed again since the last one puts it off.
fn may_purge() -> bool {
    let now = sys::monotonic_ms();
    let grown = committed::bytes().saturating_sub(AFTER.load(ordering::own_time()));
    let again = grown.min(PURGED.load(ordering::own_time()));
    let mut next = NEXT.load(ordering::own_time());
    if again >= PER_MILLISECOND {
        PURGED.fetch_sub(again, ordering::own_time());
        AFTER.fetch_add(again, ordering::own_time());
        next = next.max(now) + (again / PER_MILLISECOND) as u64;
        NEXT.store(next, ordering::own_time());
    }
    next <= now
}

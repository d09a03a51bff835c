//! Giving free memory back on the program's own time, where there is no helper: the free
//! that has too much free memory purges down to the bound.
//!
//! Memory that was purged too early is needed again, and costs page faults. Purges and
//! faults may take one part in fifty of the program's time: what was needed again is paid
//! for with time. A program that frees much now and then purges at once; one that frees
//! and allocates in turn, many times a second, keeps its memory. What growth purges, and what
//! nobody needed for a second, have the same share each.
//!
//! ```text
//!  free │    ╭╮    ╭╮  ╭╮  ╭╮        ╭╮
//!       │- - │╰╮ - │╰──╯╰──╯╰──────╯ ╰╮ - - bound
//!       │────╯ ╰───╯                  ╰───
//!         purged   needed again:      time has passed:
//!                  put off            purged
//! ```

use crate::background::huge_page_collapse;
use crate::background::sleepers;
use crate::background::span_purge;
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
use crate::pages::cgroup;
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::reclaim::purge;
use crate::sys;
use crate::thread::inside;
use crate::thread::registry;
use crate::thread::slow_path::SlowPath;

/// Caches of threads that vanished in a fork that one call, or a round of the helper, ends.
pub(super) const VANISHED: usize = 16;

/// A search that finds less than one byte in so many was not worth its time.
const POOR: usize = 8;

/// For so many bytes that were needed again, a millisecond is asked: a purge and the page
/// faults after it take one part in fifty to one in a hundred of that.
const PER_MILLISECOND: usize = 40 << 10;

/// Milliseconds that may be saved up: after a while without purges, some may follow each
/// other.
const SAVED: u64 = 20_000;

/// Bytes purged here that were not needed again so far.
static PURGED: AtomicUsize = AtomicUsize::new(0);

/// Committed bytes after the last purge.
static AFTER: AtomicUsize = AtomicUsize::new(0);

/// Up to when time is spent on what was needed again, in milliseconds; 0: nothing is. A
/// purge may be from then on.
static SPENT: AtomicU64 = AtomicU64::new(0);

/// Purges down to the bound, if the caller `freed` or memory is short, and that is not put
/// off, as it is not where memory is scarce. Examines a chunk, if it is time.
pub(super) fn give_back(freed: bool) {
    registry::end_vanished(VANISHED);
    registry::end_spares(true);
    let now = sys::monotonic_ms();
    let short = cgroup::estimate(COMMITTED.bytes());
    let purge_at = if cgroup::is_scarce() { 0 } else { spend(now) };
    let put_off = now < purge_at;
    if (short || freed) && !put_off && !purge() {
        // Another thread is at it.
        return;
    }
    let purge_at = if put_off { purge_at.min(purge_low_water(now)) } else { u64::MAX };
    let chunk_at = examine_chunk(now);
    if !usage::recheck_excess() && chunk_at != u64::MAX {
        usage::set_excess();
    }
    let look_at = chunk_at.min(purge_at);
    PUT_OFF.store(put_off, ordering::own_wait());
    LOOK_AT.store(look_at, ordering::own_wait());
    CALLS.store(if look_at == u64::MAX { 0 } else { BETWEEN_LOOKS }, ordering::own_wait());
}

/// Milliseconds after which some free memory that nobody needed is purged in any case.
const CALM: u64 = 1000;

/// When so much time has passed since the low water was taken.
static CALM_AT: AtomicU64 = AtomicU64::new(0);

/// While a purge is put off: purges what was free all the time since the low water was last
/// taken, if that is long ago, and as much as that time pays for. Returns when it is the next
/// time.
fn purge_low_water(now: u64) -> u64 {
    let at = CALM_AT.load(ordering::own_time());
    if now < at {
        return at;
    }
    let unwanted = usage::above_bound(purge::take_low_water()).min(CALM as usize * PER_MILLISECOND);
    if at != 0 && unwanted != 0 {
        purge::purge(unwanted);
    }
    CALM_AT.store(now + CALM, ordering::own_time());
    now + CALM
}

/// Purges down to the bound. Returns false if another thread does.
fn purge() -> bool {
    sleepers::drain_arenas();
    let excess = usage::excess();
    let Some(mut bytes) = purge::purge(excess) else { return false };
    usage::purged_alone();
    if usage::is_search_due() {
        let unwanted = usage::unwanted_loose();
        let found = span_purge::search(unwanted, false);
        usage::searched_alone(found.bytes + found.evicted >= unwanted / POOR);
        bytes += found.bytes;
    }
    PURGED.fetch_add(bytes, ordering::own_time());
    AFTER.store(COMMITTED.bytes(), ordering::own_time());
    true
}

/// Up to when time is spent on what helpers purged when they left, in milliseconds.
static LEFT_SPENT: AtomicU64 = AtomicU64::new(0);

/// How many of these bytes a helper purges when it leaves: a program whose threads end and start
/// all the time needs them again, and pays no larger part of its time than for its own purges.
pub(super) fn affordable(bytes: usize) -> usize {
    let now = sys::monotonic_ms();
    let spent = LEFT_SPENT.load(ordering::own_time()).max(now.saturating_sub(SAVED));
    let bytes = bytes.min(now.saturating_sub(spent) as usize * PER_MILLISECOND);
    LEFT_SPENT.store(spent + (bytes / PER_MILLISECOND) as u64, ordering::own_time());
    bytes
}

/// Up to when time is spent on what was owed, in milliseconds.
static OWED_SPENT: AtomicU64 = AtomicU64::new(0);

/// Milliseconds that may be spent in advance: a program that changes between sizes which do not
/// fit each other, again and again, keeps its memory after a while.
const IN_ADVANCE: u64 = 20_000;

/// Purges as much as the program took from the system while free memory did not fit. It is paid
/// for with time, be it needed again or not.
#[cold]
#[inline(never)]
pub(super) fn purge_owed() {
    let _inside = inside::enter();
    let owed = usage::take_owed();
    let now = sys::monotonic_ms();
    let spent = OWED_SPENT.load(ordering::own_time()).max(now);
    if owed != 0 && spent < now + IN_ADVANCE {
        OWED_SPENT.store(spent + (owed / PER_MILLISECOND) as u64, ordering::own_time());
        let slow = SlowPath::enter();
        purge::purge(owed);
        slow.leave();
    }
}

/// Spends time on what was needed again since the last purge. Returns up to when it is
/// spent.
fn spend(now: u64) -> u64 {
    let grown = COMMITTED.bytes().saturating_sub(AFTER.load(ordering::own_time()));
    let again = grown.min(PURGED.load(ordering::own_time()));
    let mut spent = SPENT.load(ordering::own_time());
    if again >= PER_MILLISECOND {
        PURGED.fetch_sub(again, ordering::own_time());
        AFTER.fetch_add(again, ordering::own_time());
        spent = spent.max(now.saturating_sub(SAVED)) + (again / PER_MILLISECOND) as u64;
        SPENT.store(spent, ordering::own_time());
    }
    spent
}

/// At the start of the process: no time is saved up.
pub(crate) fn begin() {
    SPENT.store(sys::monotonic_ms(), ordering::own_time());
}

/// Milliseconds from one chunk that is examined for a huge page to the next: one takes
/// about a millisecond.
const CHUNK_EVERY: u64 = 200;

/// When the next chunk may be examined, in milliseconds.
static NEXT_CHUNK: AtomicU64 = AtomicU64::new(0);

/// Examines a chunk of a heap that grew large, if it is time. Returns when the next one
/// is due, if any are left.
fn examine_chunk(now: u64) -> u64 {
    if !huge_page_collapse::is_busy() && usage::take_grew() {
        huge_page_collapse::begin();
    }
    let mut due = NEXT_CHUNK.load(ordering::own_wait());
    if now >= due && huge_page_collapse::is_busy() {
        due = now + CHUNK_EVERY;
        NEXT_CHUNK.store(due, ordering::own_wait());
        huge_page_collapse::step(1);
    }
    if huge_page_collapse::is_busy() { due } else { u64::MAX }
}

/// Slow-path calls between two looks at the clock, while something waits for its time.
const BETWEEN_LOOKS: u32 = 256;

/// Slow-path calls until the next look; 0: nothing waits.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// When that is due which waits, in milliseconds.
static LOOK_AT: AtomicU64 = AtomicU64::new(0);

/// Whether a purge waits.
static PUT_OFF: AtomicBool = AtomicBool::new(false);

/// Calls that pass before a purge that needs not wait is seen while chunks wait.
const BEFORE_PURGE: u32 = 8;

/// Whether there is nothing to do at this call, which `freed` or allocated, but wait.
pub(super) fn waits(freed: bool) -> bool {
    let calls = CALLS.load(ordering::own_wait());
    if calls == 0 || usage::is_look_wanted() {
        return !freed && !usage::is_look_wanted();
    }
    if calls > 1 {
        CALLS.store(calls - 1, ordering::own_wait());
        return !freed
            || !calls.is_multiple_of(BEFORE_PURGE)
            || PUT_OFF.load(ordering::own_wait())
            || !usage::is_too_much();
    }
    CALLS.store(BETWEEN_LOOKS, ordering::own_wait());
    sys::monotonic_ms() < LOOK_AT.load(ordering::own_wait())
}

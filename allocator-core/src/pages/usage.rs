//! Counters of memory that is in use, and of memory that is free but still held. They
//! change once per span or per magazine. The bound on free memory, above which it is
//! purged, is computed from them.
//!
//! ```text
//!  spans in use:   │ out: program, magazines │ loose: free blocks │ holes │
//!                                            └ stuck: could not be purged
//!  free granules:  │ dirty │ clean │
//! ```

use core::mem::offset_of;

use crossbeam_utils::CachePadded;

use crate::base::directory::{self, Address};
use crate::base::geometry::CHUNK;
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicUsize};
use crate::pages::cgroup;
use crate::pages::committed::{COMMITTED, Refused};
use crate::pages::helped;
use crate::spans::standby::STANDBY;

struct Usage {
    /// Bytes of the granules of spans.
    spans: AtomicUsize,
    /// Bytes that are free and may hold physical memory.
    dirty: AtomicUsize,
    /// The minimum of `dirty` since it was last taken.
    low: AtomicUsize,
    /// Bytes purged since the start.
    purged: AtomicUsize,
    /// Bytes leased to busy threads, for magazines beyond their own budget.
    lent: AtomicUsize,
    /// Approximate bytes of blocks outside their spans, modulo 2^64: the program or
    /// magazines have them.
    out: AtomicUsize,
    /// Bytes of holes in spans.
    holes: AtomicUsize,
    /// Loose bytes that a search found impossible to purge.
    stuck: AtomicUsize,
}

static USAGE: CachePadded<Usage> = CachePadded::new(Usage {
    spans: AtomicUsize::new(0),
    dirty: AtomicUsize::new(0),
    low: AtomicUsize::new(0),
    purged: AtomicUsize::new(0),
    lent: AtomicUsize::new(0),
    out: AtomicUsize::new(0),
    holes: AtomicUsize::new(0),
    stuck: AtomicUsize::new(0),
});

/// Where some of the counters are, for readers outside of the process.
pub(crate) const fn places() -> directory::Usage {
    let usage = Address::of(&raw const USAGE);
    directory::Usage {
        spans: usage.plus(offset_of!(Usage, spans)),
        dirty: usage.plus(offset_of!(Usage, dirty)),
        purged: usage.plus(offset_of!(Usage, purged)),
    }
}

/// Whether there seems to be too much free memory. On a cache line of its own: slow
/// paths read it, and it rarely changes.
static EXCESS: CachePadded<AtomicBool> = CachePadded::new(AtomicBool::new(false));

/// Free bytes that stay, at least, where a helper gives the others back.
const FLOOR: usize = 4 << 20;
/// The same in part of the live bytes.
const PART: usize = 8;

/// Free bytes that stay, at least, where the thread that frees gives the others back: a
/// purge costs it time, and it cannot wait to see whether they are needed again.
const FLOOR_ALONE: usize = 32 << 20;
/// The same in part of the live bytes.
const PART_ALONE: usize = 4;

/// With a helper, free bytes that stay, at least, where the spans that hold them are in use.
const FLOOR_IN_USE: usize = 16 << 20;

/// Free bytes that stay while memory is short, in part of the live bytes, with a helper or
/// without; as many may be lent to busy threads.
const PART_SHORT: usize = 64;

/// Without a helper, free memory above the bound is given back once it is above it by
/// one part in so many, and again after as many more bytes were freed.
const STEPS: usize = 8;

/// But not before so many bytes were freed, in part of the live bytes.
const PART_STEP: usize = 128;

/// Without a helper: free bytes outside of spans in use that the last purge left, or less.
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Without a helper: free bytes that the last search of spans in use left, or less.
static LEFT_LOOSE: AtomicUsize = AtomicUsize::new(0);

/// Without a helper: searches in a row that were not worth their time.
static POOR: AtomicUsize = AtomicUsize::new(0);
const MOST_POOR: usize = 5;

/// Records that a span got `bytes`, of which `dirty` were free memory; the rest was
/// charged.
pub(super) fn took_span(bytes: usize, dirty: usize) {
    USAGE.spans.fetch_add(bytes, ordering::usage_live());
    less_dirty(dirty);
    took_fresh(bytes - dirty);
}

/// Records that the `bytes` of a span are free. What a search found stuck may have been there.
pub(super) fn gave_span(bytes: usize) {
    USAGE.spans.fetch_sub(bytes, ordering::usage_live());
    let stuck = USAGE.stuck.load(ordering::usage_loose());
    if stuck != 0 {
        USAGE.stuck.store(stuck.saturating_sub(bytes), ordering::usage_loose());
    }
    more_dirty(bytes);
}

/// Records that a page run or mapping got `bytes`, of which `dirty` were free memory;
/// the rest was charged.
pub(super) fn took_large(bytes: usize, dirty: usize) {
    less_dirty(dirty);
    took_fresh(bytes - dirty);
}

/// Bytes that threads that allocate are to purge: as many as were taken from the system while
/// more free memory than [`bound_in_use`] did not fit.
static OWED: AtomicUsize = AtomicUsize::new(0);

/// Less is not worth a purge.
const LEAST_OWED: usize = 1 << 20;

/// Records that `bytes` were taken from the system.
pub(super) fn took_fresh(bytes: usize) {
    let owed = if bytes == 0 { 0 } else { bytes.min(above_bound_in_use()) };
    if owed != 0 && OWED.fetch_add(owed, ordering::usage_owed()) + owed >= LEAST_OWED {
        set_excess();
    }
}

/// Whether a thread that allocates is to purge.
pub(crate) fn is_owed() -> bool {
    OWED.load(ordering::usage_owed()) >= LEAST_OWED
}

/// How many bytes a thread that allocates is to purge; from now on none.
pub(crate) fn take_owed() -> usize {
    OWED.swap(0, ordering::usage_owed()).min(above_bound_in_use())
}

/// Dirty bytes above the bound that holds where the program is not idle.
fn above_bound_in_use() -> usize {
    dirty().saturating_sub(bound_in_use())
}

/// Records that `bytes` of a page run or mapping are no longer in use, of which `dirty`
/// may hold memory.
pub(crate) fn gave_large(bytes: usize, dirty: usize) {
    COMMITTED.discharge(bytes - dirty);
    more_dirty(dirty);
}

/// Records that the block on standby changed, whose bytes are counted where they are asked for.
pub(super) fn gave_standby() {
    note_excess();
}

/// Records that `bytes` of free memory were purged.
pub(crate) fn cleaned(bytes: usize) {
    less_dirty(bytes);
    COMMITTED.discharge(bytes);
    USAGE.purged.fetch_add(bytes, ordering::usage_purged());
}

/// Records that chunks with `dirty` bytes of free memory were unmapped, or that `left` bytes
/// of them still hold memory: the system refused.
pub(crate) fn unmapped(dirty: usize, left: usize) {
    cleaned(dirty);
    if left != 0 {
        COMMITTED.charge_surely(left);
        more_dirty(left);
    }
}

/// Records that `bytes` of free memory count as dirty that did not so far.
///
/// # Errors
/// The limit does not allow more.
pub(super) fn found_dirty(bytes: usize) -> Result<(), Refused> {
    if bytes != 0 {
        COMMITTED.charge(bytes)?;
        more_dirty(bytes);
    }
    Ok(())
}

/// Records that blocks of about `bytes` left their spans.
pub(crate) fn went_out(bytes: usize) {
    USAGE.out.fetch_add(bytes, ordering::usage_loose());
}

/// Records that blocks of about `bytes` came back to their spans.
pub(crate) fn came_back(bytes: usize) {
    USAGE.out.fetch_sub(bytes, ordering::usage_loose());
    USAGE.stuck.fetch_min(loose(), ordering::usage_loose());
    note_excess();
}

/// Records that `bytes` of spans in use were purged.
pub(crate) fn made_holes(bytes: usize) {
    USAGE.holes.fetch_add(bytes, ordering::usage_loose());
    USAGE.purged.fetch_add(bytes, ordering::usage_purged());
}

/// Records that `bytes` of holes hold memory again, or are no longer in a span in
/// use.
pub(super) fn filled(bytes: usize) {
    USAGE.holes.fetch_sub(bytes, ordering::usage_loose());
}

/// Records that a search of the loose memory is complete: what is loose now cannot be
/// purged.
pub(crate) fn searched() {
    USAGE.stuck.store(loose(), ordering::usage_loose());
}

/// Records that loose memory which waited in batches is in its spans now: a search may find
/// it.
pub(crate) fn search_again() {
    USAGE.stuck.store(0, ordering::usage_loose());
}

/// Approximate bytes of free blocks that hold memory, in spans in use.
pub(crate) fn loose() -> usize {
    let held = USAGE
        .spans
        .load(ordering::usage_live())
        .wrapping_sub(USAGE.holes.load(ordering::usage_loose()));
    not_below_0(held.wrapping_sub(USAGE.out.load(ordering::usage_loose())))
}

/// A difference of counters, one of which is updated late: it may be a little below 0.
fn not_below_0(bytes: usize) -> usize {
    if bytes > isize::MAX as usize { 0 } else { bytes }
}

fn less_dirty(bytes: usize) {
    if bytes != 0 {
        let left = USAGE.dirty.fetch_sub(bytes, ordering::usage_dirty()).wrapping_sub(bytes);
        let left = not_below_0(left);
        // Most often it is not the least, and a load is enough to see that.
        if left < USAGE.low.load(ordering::usage_dirty()) {
            USAGE.low.fetch_min(left, ordering::usage_dirty());
        }
    }
}

fn more_dirty(bytes: usize) {
    USAGE.dirty.fetch_add(bytes, ordering::usage_dirty());
    note_excess();
}

fn note_excess() {
    if !in_excess() && is_too_much() {
        EXCESS.store(true, ordering::usage_excess());
    }
}

/// Whether there is more free memory than the bound allows and, without a helper, enough
/// of it to be worth a purge.
pub(crate) fn is_too_much() -> bool {
    let excess = excess();
    if excess == 0 || helped::is_helped() {
        return excess != 0;
    }
    let (dirty, step) = (dirty(), step());
    let left = LEFT.fetch_min(dirty, ordering::usage_left()).min(dirty);
    (dirty > bound() + step && dirty - left > step) || is_search_due()
}

/// Without a helper: as many bytes as are worth a purge.
fn step() -> usize {
    (bound() / STEPS).max(wanted() / PART_STEP)
}

/// Without a helper: whether so much more is free since the last search of spans in use that
/// it is worth another.
pub(crate) fn is_search_due() -> bool {
    let held = dirty() + unsearched();
    let poor = if cgroup::is_scarce() { 0 } else { POOR.load(ordering::usage_left()) };
    let step = step() << poor;
    let left = LEFT_LOOSE.fetch_min(held, ordering::usage_left()).min(held);
    held > bound() + step && held - left > step
}

/// Without a helper: records that a purge is over.
pub(crate) fn purged_alone() {
    LEFT.store(dirty(), ordering::usage_left());
}

/// Without a helper: records that a search of spans in use is over, and whether it was worth its
/// time. If not, twice as much is freed before the next.
pub(crate) fn searched_alone(well: bool) {
    let poor = POOR.load(ordering::usage_left());
    POOR.store(if well { 0 } else { (poor + 1).min(MOST_POOR) }, ordering::usage_left());
    LEFT_LOOSE.store(dirty() + unsearched(), ordering::usage_left());
}

/// Heaps of spans with fewer bytes than this get chunks of small pages.
const LARGE_SPANS: usize = 32 << 20;
/// So much of a heap may be free, in part of its spans: then new chunks will be filled, too.
const PART_FREE: usize = 4;

/// Whether there are many spans, and they are filled: a chunk more will be, too. Not where memory
/// is short.
pub(super) fn is_large_and_filled() -> bool {
    let spans = USAGE.spans.load(ordering::usage_live());
    spans >= LARGE_SPANS && loose() + dirty() <= spans / PART_FREE && !cgroup::is_short()
}

/// Heaps with fewer mapped bytes than this are not searched for dense chunks.
const LARGE: usize = 128 << 20;

/// Mapped bytes at which dense chunks are searched for next.
static NEXT: AtomicUsize = AtomicUsize::new(LARGE);

/// Whether the heap reached `NEXT` since [`take_grew`] was last called.
static GREW: AtomicBool = AtomicBool::new(false);

/// Records that `mapped` bytes are mapped now. A large heap is searched for dense chunks
/// each time that it has grown by an eighth.
pub(super) fn grew_to(mapped: usize) {
    if mapped >= NEXT.load(ordering::collapse_due()) {
        NEXT.store(mapped + mapped / 8, ordering::collapse_due());
        GREW.store(true, ordering::collapse_due());
        want_look();
    }
    if mapped >= LOOK.load(ordering::cgroup_due()) {
        look_at_container(mapped);
    }
}

/// Records that `mapped` bytes are still mapped, after some were unmapped. Growth counts
/// from there.
pub(crate) fn shrank_to(mapped: usize) {
    LOOK.fetch_min(next_look(mapped), ordering::cgroup_due());
}

/// Bytes by which a heap grows before anybody checks whether memory is short.
const STEP: usize = 32 << 20;

/// Mapped bytes at which the next check is due.
static LOOK: AtomicUsize = AtomicUsize::new(STEP);

/// Has the helper check whether memory is short; no thread of the program opens a file.
/// Without a helper, only the allocator's own memory can be compared with the limits. The
/// next check is due when the heap has grown by a sixteenth.
#[cold]
fn look_at_container(mapped: usize) {
    look_from(mapped);
    if helped::may_be_helped() {
        want_look();
        helped::ring();
    } else if cgroup::estimate(COMMITTED.bytes()) {
        want_look();
    }
}

/// Whether somebody is to look because of growth: at allocations, too, not only when
/// something is freed.
static LOOK_WANTED: AtomicBool = AtomicBool::new(false);

fn want_look() {
    LOOK_WANTED.store(true, ordering::usage_excess());
    EXCESS.store(true, ordering::usage_excess());
}

/// Whether somebody is to look because the heap has grown.
pub(crate) fn is_look_wanted() -> bool {
    LOOK_WANTED.load(ordering::usage_excess())
}

/// Sets at how many mapped bytes the next check is due, counted from `mapped`.
pub(crate) fn look_from(mapped: usize) {
    LOOK.store(next_look(mapped), ordering::cgroup_due());
}

fn next_look(mapped: usize) -> usize {
    mapped + cgroup::step_from(mapped, STEP.max(mapped / 16))
}

/// Whether dense chunks are to be searched for. Resets the flag.
pub(crate) fn take_grew() -> bool {
    GREW.swap(false, ordering::collapse_due())
}

/// Whether there seemed to be too much free memory lately.
#[inline]
pub(crate) fn in_excess() -> bool {
    EXCESS.load(ordering::usage_excess())
}

/// Returns whether there still is too much free memory, and sets the flag to that. Nobody
/// need look because of growth.
pub(crate) fn recheck_excess() -> bool {
    LOOK_WANTED.store(false, ordering::usage_excess());
    EXCESS.store(false, ordering::usage_excess());
    let still = is_too_much();
    if still {
        EXCESS.store(true, ordering::usage_excess());
    }
    still
}

/// The minimum of free bytes since the last call: nobody needed those meanwhile. The caller has
/// freed the block on standby, which would not count.
pub(crate) fn take_low_water() -> usize {
    USAGE.low.swap(counted_dirty(), ordering::usage_dirty()).min(counted_dirty())
}

/// Has free memory looked at by whoever finds the flag set next.
pub(crate) fn set_excess() {
    EXCESS.store(true, ordering::usage_excess());
}

/// How many of `free` bytes are above the bound.
pub(crate) fn above_bound(free: usize) -> usize {
    free.saturating_sub(bound())
}

/// Loose bytes above the bound, counting free granules first, without those that were
/// searched in vain.
pub(crate) fn unwanted_loose() -> usize {
    (dirty() + unsearched()).saturating_sub(bound()).min(unsearched())
}

/// Loose bytes above [`bound_in_use`], counting dirty ones first: where sizes change all the time,
/// blocks are taken from each span, and none would ever rest.
pub(crate) fn unwanted_loose_in_use() -> usize {
    (dirty() + unsearched()).saturating_sub(bound_in_use()).min(unsearched())
}

/// The bound on free memory that the program may need next: with a helper, it is higher than what
/// stays when the program does not need it.
fn bound_in_use() -> usize {
    let floor = if helped::is_helped() { FLOOR_IN_USE } else { FLOOR_ALONE };
    floor.max(wanted() / PART_ALONE)
}

fn unsearched() -> usize {
    loose().saturating_sub(USAGE.stuck.load(ordering::usage_loose()))
}

/// The bound on free memory, leases included, where there is a helper. Leases are made
/// by it in any case.
fn whole_bound() -> usize {
    FLOOR.max(wanted() / PART)
}

/// Bytes in use that do not only hold free blocks.
fn wanted() -> usize {
    live().saturating_sub(loose())
}

/// The bound on free memory, less the leases beyond [`SPARE`]; a small part of the live bytes
/// while memory is short, and 0 while it is scarce.
fn bound() -> usize {
    let whole = if cgroup::is_scarce() {
        0
    } else if cgroup::is_short() {
        wanted() / PART_SHORT
    } else if helped::is_helped() {
        whole_bound()
    } else {
        FLOOR_ALONE.max(wanted() / PART_ALONE)
    };
    whole.saturating_sub(lent().saturating_sub(SPARE))
}

fn lent() -> usize {
    USAGE.lent.load(ordering::usage_lent())
}

/// Bytes that may be leased in addition to the bound. Blocks in busy magazines
/// circulate: they are free for moments, while free memory above the bound may last a
/// second.
const SPARE: usize = FLOOR / 8 * 7;

/// Leases `bytes` to a thread that has `already` some. Seven eighths of the bound may
/// be leased, and [`SPARE`] on top. A thread gets no more than twice what it leaves to
/// others, so that a few cannot take all, and one alone has two thirds. (Dynamic
/// thresholds: Choudhury and Hahne, 1998, for the shared memory of switches.)
///
/// While memory is short, little is leased, and nothing while it is scarce.
pub(crate) fn lend(bytes: usize, already: usize) -> bool {
    let most = most_lent();
    let may = |lent: usize| lent + (already + bytes) / 2 <= most;
    // Read before it is written: a thread that is refused soon tries again.
    if !may(lent()) {
        return false;
    }
    if !may(USAGE.lent.fetch_add(bytes, ordering::usage_lent())) {
        repay(bytes);
        return false;
    }
    true
}

/// Bytes that may be leased in all.
fn most_lent() -> usize {
    if !cgroup::is_short() {
        whole_bound() / 8 * 7 + SPARE
    } else if cgroup::is_scarce() {
        0
    } else {
        SPARE.min(wanted() / PART_SHORT)
    }
}

/// Whether more is leased than may be: memory has become short.
pub(crate) fn is_lent_too_much() -> bool {
    lent() > most_lent()
}

/// Ends a lease of `bytes`.
pub(crate) fn repay(bytes: usize) {
    USAGE.lent.fetch_sub(bytes, ordering::usage_lent());
}

/// Counts of memory, made again in the child of a fork.
#[derive(Default)]
pub(crate) struct Recount {
    /// Bytes of the granules of spans in use.
    pub(crate) spans: usize,
    /// Bytes of page runs and mappings in use.
    pub(crate) large: usize,
    /// Bytes that are free and may hold memory.
    pub(crate) dirty: usize,
    /// Bytes of holes in spans.
    pub(crate) holes: usize,
    /// Bytes of blocks outside their spans, modulo 2^64.
    pub(crate) out: usize,
}

/// In the child of a fork: sets the counts that a vanished thread may have been changing.
pub(crate) fn set(counts: &Recount) {
    USAGE.spans.store(counts.spans, ordering::usage_live());
    USAGE.dirty.store(counts.dirty, ordering::usage_dirty());
    USAGE.low.store(counts.dirty, ordering::usage_dirty());
    USAGE.holes.store(counts.holes, ordering::usage_loose());
    USAGE.out.store(counts.out, ordering::usage_loose());
    COMMITTED.set(counts.spans + counts.large + counts.dirty);
}

/// In the child of a fork: sets the bytes lent, to the one thread.
pub(crate) fn set_lent(bytes: usize) {
    USAGE.lent.store(bytes, ordering::usage_lent());
}

/// Free bytes above the bound, as far as they may be purged.
pub(crate) fn excess() -> usize {
    (dirty() + unsearched()).saturating_sub(bound())
}

/// Bytes of spans, page runs and mappings in use: what is committed and not free.
fn live() -> usize {
    // Read before the committed bytes, which include it.
    let free = dirty();
    not_below_0(COMMITTED.bytes().wrapping_sub(free))
}

/// Bytes of page runs and mappings in use: they are not counted themselves.
pub(crate) fn large() -> usize {
    not_below_0(live().wrapping_sub(USAGE.spans.load(ordering::usage_live())))
}

/// Free bytes that may hold memory.
pub(crate) fn dirty() -> usize {
    counted_dirty() + STANDBY.bytes()
}

/// Whether chunks may be spare that hold memory.
pub(super) fn may_have_spares() -> bool {
    counted_dirty() >= CHUNK
}

/// The same without the block on standby, which is counted as one in use.
fn counted_dirty() -> usize {
    // A thread that takes granules may record it before the thread that freed them
    // does.
    not_below_0(USAGE.dirty.load(ordering::usage_dirty()))
}

/// Bytes purged since the start.
pub(crate) fn purged() -> usize {
    USAGE.purged.load(ordering::usage_purged())
}

//! How much memory is in use, and how much is free but still held: numbers
//! changed once a span or once a magazine, from which purging takes its bound.
//!
//! ```text
//!  in use by spans:  │ out: users, magazines │ loose: free blocks │ holes │
//!  free granules:    │ dirty │ clean │        └ stuck: no whole page in them
//! ```

use crossbeam_utils::CachePadded;

use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicUsize};
use crate::pages::cgroup;
use crate::pages::committed;

struct Usage {
    /// Bytes of granules that spans have.
    spans: AtomicUsize,
    /// Bytes of page runs and mappings in use.
    large: AtomicUsize,
    /// Bytes that are free and may hold physical memory.
    dirty: AtomicUsize,
    /// The least that `dirty` was since somebody last asked.
    low: AtomicUsize,
    /// Bytes given back to the system by purging, since the start.
    purged: AtomicUsize,
    /// Bytes that busy threads may keep in magazines beside their own.
    lent: AtomicUsize,
    /// About how many bytes of blocks are out of their spans, modulo 2^64: users
    /// have them, or magazines.
    out: AtomicUsize,
    /// Bytes of holes in spans.
    holes: AtomicUsize,
    /// Loose bytes of which a search found that they cannot go back.
    stuck: AtomicUsize,
}

static USAGE: CachePadded<Usage> = CachePadded::new(Usage {
    spans: AtomicUsize::new(0),
    large: AtomicUsize::new(0),
    dirty: AtomicUsize::new(0),
    low: AtomicUsize::new(0),
    purged: AtomicUsize::new(0),
    lent: AtomicUsize::new(0),
    out: AtomicUsize::new(0),
    holes: AtomicUsize::new(0),
    stuck: AtomicUsize::new(0),
});

/// Whether there seems to be more free memory than there should be. On a line
/// of its own: slow paths read it, and it seldom changes.
static EXCESS: CachePadded<AtomicBool> = CachePadded::new(AtomicBool::new(false));

/// Free memory below this is never given back for being too much, in bytes.
const FLOOR: usize = 4 << 20;

/// Notes that a span got `bytes`, of which `dirty` were free memory; the rest
/// was charged.
pub(super) fn took_span(bytes: usize, dirty: usize) {
    USAGE.spans.fetch_add(bytes, ordering::usage_live());
    less_dirty(dirty);
}

/// Notes that the `bytes` of a span are free.
pub(super) fn gave_span(bytes: usize) {
    USAGE.spans.fetch_sub(bytes, ordering::usage_live());
    more_dirty(bytes);
}

/// Notes that a page run or mapping got `bytes`, of which `dirty` were free
/// memory; the rest was charged.
pub(super) fn took_large(bytes: usize, dirty: usize) {
    USAGE.large.fetch_add(bytes, ordering::usage_live());
    less_dirty(dirty);
}

/// Notes that `bytes` of a page run or mapping are in use no more, of which
/// `dirty` may hold memory.
pub(crate) fn gave_large(bytes: usize, dirty: usize) {
    USAGE.large.fetch_sub(bytes, ordering::usage_live());
    committed::discharge(bytes - dirty);
    more_dirty(dirty);
}

/// Notes that free memory went back to the system.
pub(crate) fn cleaned(bytes: usize) {
    less_dirty(bytes);
    committed::discharge(bytes);
    USAGE.purged.fetch_add(bytes, ordering::usage_purged());
}

/// Notes that about so many bytes of blocks left their spans.
pub(crate) fn went_out(bytes: usize) {
    USAGE.out.fetch_add(bytes, ordering::usage_loose());
}

/// Notes that about so many bytes of blocks came back to their spans.
pub(crate) fn came_back(bytes: usize) {
    USAGE.out.fetch_sub(bytes, ordering::usage_loose());
    USAGE.stuck.fetch_min(loose(), ordering::usage_loose());
    note_excess();
}

/// Notes that so many bytes of spans in use went back to the system.
pub(crate) fn made_holes(bytes: usize) {
    USAGE.holes.fetch_add(bytes, ordering::usage_loose());
    USAGE.purged.fetch_add(bytes, ordering::usage_purged());
}

/// Notes that so many bytes of holes hold memory again, or are in no span in
/// use any more.
pub(super) fn filled(bytes: usize) {
    USAGE.holes.fetch_sub(bytes, ordering::usage_loose());
}

/// Notes that the loose memory was searched, and what there is now cannot go
/// back.
pub(crate) fn searched() {
    USAGE.stuck.store(loose(), ordering::usage_loose());
}

/// About how many bytes of spans in use are free blocks that hold memory.
fn loose() -> usize {
    let held = USAGE
        .spans
        .load(ordering::usage_live())
        .wrapping_sub(USAGE.holes.load(ordering::usage_loose()));
    not_below_0(held.wrapping_sub(USAGE.out.load(ordering::usage_loose())))
}

/// A difference of which a part is noted late: it may come out a little below 0.
fn not_below_0(bytes: usize) -> usize {
    if bytes > isize::MAX as usize { 0 } else { bytes }
}

fn less_dirty(bytes: usize) {
    if bytes != 0 {
        let left = USAGE.dirty.fetch_sub(bytes, ordering::usage_dirty()).wrapping_sub(bytes);
        USAGE.low.fetch_min(not_below_0(left), ordering::usage_dirty());
    }
}

fn more_dirty(bytes: usize) {
    USAGE.dirty.fetch_add(bytes, ordering::usage_dirty());
    note_excess();
}

fn note_excess() {
    if excess() != 0 && !in_excess() {
        EXCESS.store(true, ordering::usage_excess());
    }
}

/// Heaps below this many mapped bytes stay on small pages.
const LARGE: usize = 128 << 20;

/// Mapped bytes at which dense chunks are looked for the next time.
static NEXT: AtomicUsize = AtomicUsize::new(LARGE);

/// Whether the heap grew since dense chunks were last looked for.
static GREW: AtomicBool = AtomicBool::new(false);

/// Notes that so many bytes are mapped now. A large heap is looked through when it
/// has grown by an eighth.
pub(super) fn grew_to(mapped: usize) {
    if mapped >= NEXT.load(ordering::collapse_due()) {
        NEXT.store(mapped + mapped / 8, ordering::collapse_due());
        GREW.store(true, ordering::collapse_due());
        EXCESS.store(true, ordering::usage_excess());
    }
    if mapped >= LOOK.load(ordering::cgroup_due()) && cgroup::is_due(APART) {
        look_at_container(mapped);
    }
}

/// Notes that so many bytes are mapped still, after some were unmapped. Growth
/// counts from there.
pub(crate) fn shrank_to(mapped: usize) {
    LOOK.fetch_min(next_look(mapped), ordering::cgroup_due());
}

/// Bytes that a heap grows before anybody looks whether memory is short.
const STEP: usize = 32 << 20;

/// Milliseconds from one such look to the next, at least: a program may map and
/// unmap much more often than it can use what it mapped.
const APART: u32 = 10;

/// Mapped bytes at which somebody does.
static LOOK: AtomicUsize = AtomicUsize::new(STEP);

/// Looks whether memory is short, and again when the heap has grown by a sixteenth.
#[cold]
fn look_at_container(mapped: usize) {
    look_from(mapped);
    if cgroup::update() {
        EXCESS.store(true, ordering::usage_excess());
    }
}

/// Says at how many mapped bytes somebody looks next, seen from these.
pub(crate) fn look_from(mapped: usize) {
    LOOK.store(next_look(mapped), ordering::cgroup_due());
}

fn next_look(mapped: usize) -> usize {
    mapped + STEP.max(mapped / 16)
}

/// Whether it grew so far since this was last asked.
pub(crate) fn take_grew() -> bool {
    GREW.swap(false, ordering::collapse_due())
}

/// Whether there seemed to be too much free memory lately.
#[inline]
pub(crate) fn in_excess() -> bool {
    EXCESS.load(ordering::usage_excess())
}

/// Looks whether there still is. Says so.
pub(crate) fn recheck_excess() -> bool {
    EXCESS.store(false, ordering::usage_excess());
    let still = excess() != 0;
    if still {
        EXCESS.store(true, ordering::usage_excess());
    }
    still
}

/// The least bytes that were free at a time since the last call: nobody wanted
/// those meanwhile.
pub(crate) fn take_low_water() -> usize {
    USAGE.low.swap(dirty(), ordering::usage_dirty()).min(dirty())
}

/// How much of so many free bytes is above the bound.
pub(crate) fn above_bound(free: usize) -> usize {
    free.saturating_sub(bound())
}

/// Loose bytes above the bound, as far as free granules leave room there, that
/// were not searched in vain.
pub(crate) fn unwanted_loose() -> usize {
    (dirty() + unsearched()).saturating_sub(bound()).min(unsearched())
}

fn unsearched() -> usize {
    loose().saturating_sub(USAGE.stuck.load(ordering::usage_loose()))
}

/// What may be held free in all: an eighth of what is live, at least 4 MiB.
fn whole_bound() -> usize {
    let live = live().saturating_sub(loose());
    FLOOR.max(live / 8)
}

/// Free memory that may be held; what is lent beyond [`SPARE`] is held there. None
/// while memory is short.
fn bound() -> usize {
    if cgroup::is_pressed() {
        return 0;
    }
    whole_bound().saturating_sub(lent().saturating_sub(SPARE))
}

fn lent() -> usize {
    USAGE.lent.load(ordering::usage_lent())
}

/// Bytes lent beside what may be held free. Blocks in magazines that are at work
/// go round: they are free for moments, and memory above the bound has a second.
const SPARE: usize = FLOOR / 8 * 7;

/// Lends `bytes` to a thread that has `already` some. Seven eighths of what may
/// be held free are for lending, and some more; and a thread gets no more than
/// twice what it leaves to others, so that a few cannot take all, and one alone
/// has two thirds. (Dynamic thresholds: Choudhury and Hahne, 1998, for the shared
/// memory of switches.)
///
/// While memory is short, nothing is lent.
pub(crate) fn lend(bytes: usize, already: usize) -> bool {
    let most = if cgroup::is_pressed() { 0 } else { whole_bound() / 8 * 7 + SPARE };
    let may = |lent: usize| lent + (already + bytes) / 2 <= most;
    // Looked at before it is written: whoever is refused comes again soon.
    if !may(lent()) {
        return false;
    }
    if !may(USAGE.lent.fetch_add(bytes, ordering::usage_lent())) {
        repay(bytes);
        return false;
    }
    true
}

/// Takes back what was lent.
pub(crate) fn repay(bytes: usize) {
    USAGE.lent.fetch_sub(bytes, ordering::usage_lent());
}

/// Free bytes above the bound, as far as they may go back.
pub(crate) fn excess() -> usize {
    (dirty() + unsearched()).saturating_sub(bound())
}

/// Whether there is twice the free memory that may be held.
pub(crate) fn excess_is_large() -> bool {
    excess() > whole_bound()
}

/// Bytes of spans, page runs and mappings in use.
fn live() -> usize {
    USAGE.spans.load(ordering::usage_live()) + large()
}

/// Bytes of page runs and mappings in use.
pub(crate) fn large() -> usize {
    USAGE.large.load(ordering::usage_live())
}

/// Free bytes that may hold memory.
pub(crate) fn dirty() -> usize {
    // Who takes granules may note it before the one who just gave them does.
    not_below_0(USAGE.dirty.load(ordering::usage_dirty()))
}

/// Bytes given back by purging, since the start.
pub(crate) fn purged() -> usize {
    USAGE.purged.load(ordering::usage_purged())
}

//! Bytes that may hold physical memory for blocks, in use or free, and the
//! limits on them. Memory that holds nothing yet is charged before it is
//! used; memory that is free and dirty is charged already.
//!
//! ```text
//!  fresh ──charge──► in use ──free──► dirty ──purge──► fresh
//!                      ▲                │
//!                      └───── take ─────┘   no charge
//! ```

use crossbeam_utils::CachePadded;

use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicUsize};

/// Bytes charged now: what spans, page runs and mappings in use have, and what
/// is dirty. Never above the hard limit, but where that was lowered.
static BYTES: CachePadded<AtomicUsize> = CachePadded::new(AtomicUsize::new(0));

/// Seldom changed, and read at every charge: on a line of its own.
struct Limits {
    /// Bytes above which the program is told; `NONE`: it never is.
    soft: AtomicUsize,
    /// Bytes above which nothing is charged; `NONE`: all is.
    hard: AtomicUsize,
    /// Whether a charge went above the soft limit, and nobody looked since.
    over: AtomicBool,
    /// Whether the program was told, and enough was not given back since.
    told: AtomicBool,
}

static LIMITS: CachePadded<Limits> = CachePadded::new(Limits {
    soft: AtomicUsize::new(NONE),
    hard: AtomicUsize::new(NONE),
    over: AtomicBool::new(false),
    told: AtomicBool::new(false),
});

/// The limit that there is no reaching.
const NONE: usize = usize::MAX;

/// The hard limit does not allow more.
#[derive(Debug)]
pub(crate) struct Refused;

/// Charges `bytes` that are about to be used, all or none. The count is looked
/// at and raised in one step, so that threads together cannot overrun the limit.
pub(super) fn charge(bytes: usize) -> Result<(), Refused> {
    if bytes == 0 {
        return Ok(());
    }
    let hard = LIMITS.hard.load(ordering::committed_limits());
    let more = |now: usize| now.checked_add(bytes).filter(|then| *then <= hard);
    let before = BYTES
        .fetch_update(ordering::committed_bytes(), ordering::committed_bytes(), more)
        .map_err(|_| Refused)?;
    if before + bytes > LIMITS.soft.load(ordering::committed_limits()) {
        LIMITS.over.store(true, ordering::over_limit());
    }
    Ok(())
}

/// Notes that `bytes` hold no memory any more, or were not used after all.
pub(super) fn discharge(bytes: usize) {
    if bytes == 0 {
        return;
    }
    BYTES.fetch_sub(bytes, ordering::committed_bytes());
    if LIMITS.told.load(ordering::limit_told()) {
        rearm();
    }
}

/// Bytes charged now.
pub(crate) fn bytes() -> usize {
    BYTES.load(ordering::committed_bytes())
}

/// Whether a charge went above the soft limit since somebody last looked.
#[inline]
pub(crate) fn may_be_over() -> bool {
    LIMITS.over.load(ordering::over_limit())
}

/// Looks whether there is more than the soft limit now. From here on, the next
/// charge above it says so again.
pub(crate) fn check_over() -> bool {
    LIMITS.over.store(false, ordering::over_limit());
    bytes() > LIMITS.soft.load(ordering::committed_limits())
}

/// Whether the program was told of being above the soft limit, and is there,
/// or near, still.
pub(crate) fn is_told() -> bool {
    LIMITS.told.load(ordering::limit_told())
}

/// Whether the program has to be told, which counts as done with that.
pub(crate) fn mark_told() -> bool {
    let first = !LIMITS.told.swap(true, ordering::limit_told());
    // It may have been given back meanwhile, before anybody could know.
    rearm();
    first
}

/// Once an eighth below the soft limit is free, going above it is news again.
fn rearm() {
    let soft = LIMITS.soft.load(ordering::committed_limits());
    if bytes() < soft - soft / 8 {
        LIMITS.told.store(false, ordering::limit_told());
    }
}

/// Sets the soft limit, in bytes; 0: there is none. If there is more already,
/// the end of the next slow path sees it.
pub(crate) fn set_limit(bytes: usize) {
    LIMITS.soft.store(or_none(bytes), ordering::committed_limits());
    LIMITS.told.store(false, ordering::limit_told());
    LIMITS.over.store(true, ordering::over_limit());
}

/// Sets the hard limit, in bytes; 0: there is none.
pub(crate) fn set_hard_limit(bytes: usize) {
    LIMITS.hard.store(or_none(bytes), ordering::committed_limits());
}

/// The soft limit, in bytes; 0: there is none.
pub(crate) fn limit() -> usize {
    or_0(LIMITS.soft.load(ordering::committed_limits()))
}

/// The hard limit, in bytes; 0: there is none.
pub(crate) fn hard_limit() -> usize {
    or_0(LIMITS.hard.load(ordering::committed_limits()))
}

fn or_none(bytes: usize) -> usize {
    if bytes == 0 { NONE } else { bytes }
}

fn or_0(bytes: usize) -> usize {
    if bytes == NONE { 0 } else { bytes }
}

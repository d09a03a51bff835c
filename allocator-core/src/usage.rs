//! How much memory is in use, and how much is free but still held: two
//! numbers, changed once a span, from which purging takes its bound.

use crossbeam_utils::CachePadded;

use crate::order;
use crate::sync::AtomicUsize;

struct Usage {
    /// Bytes of granules that spans have.
    spans: AtomicUsize,
    /// Bytes of page runs and mappings in use.
    large: AtomicUsize,
    /// Bytes that are free and may hold physical memory.
    dirty: AtomicUsize,
    /// Bytes given back to the system by purging, since the start.
    purged: AtomicUsize,
}

static USAGE: CachePadded<Usage> = CachePadded::new(Usage {
    spans: AtomicUsize::new(0),
    large: AtomicUsize::new(0),
    dirty: AtomicUsize::new(0),
    purged: AtomicUsize::new(0),
});

/// Free memory below this is never given back for being too much, in bytes.
const FLOOR: usize = 4 << 20;

/// Notes that a span got `bytes`, of which `dirty` were free memory.
pub(crate) fn took_span(bytes: usize, dirty: usize) {
    USAGE.spans.fetch_add(bytes, order::count());
    USAGE.dirty.fetch_sub(dirty, order::count());
}

/// Notes that the `bytes` of a span are free. Says whether free memory is
/// above its bound now.
pub(crate) fn gave_span(bytes: usize) -> bool {
    USAGE.spans.fetch_sub(bytes, order::count());
    USAGE.dirty.fetch_add(bytes, order::count());
    excess() != 0
}

/// Notes that a page run or mapping got `bytes`, of which `dirty` were free memory.
pub(crate) fn took_large(bytes: usize, dirty: usize) {
    USAGE.large.fetch_add(bytes, order::count());
    USAGE.dirty.fetch_sub(dirty, order::count());
}

/// Notes that `bytes` of a page run or mapping are in use no more, of which
/// `dirty` may hold memory. Says whether free memory is above its bound now.
pub(crate) fn gave_large(bytes: usize, dirty: usize) -> bool {
    USAGE.large.fetch_sub(bytes, order::count());
    USAGE.dirty.fetch_add(dirty, order::count());
    excess() != 0
}

/// Notes that free memory went back to the system, or is looked at anew.
pub(crate) fn cleaned(bytes: usize) {
    USAGE.dirty.fetch_sub(bytes, order::count());
    USAGE.purged.fetch_add(bytes, order::count());
}

/// Free bytes above the bound, which is an eighth of what is live, and at
/// least 4 MiB.
pub(crate) fn excess() -> usize {
    let dirty = dirty();
    dirty.saturating_sub(FLOOR.max(live() / 8))
}

/// Bytes of spans, page runs and mappings in use.
pub(crate) fn live() -> usize {
    USAGE.spans.load(order::count()) + large()
}

/// Bytes of page runs and mappings in use.
pub(crate) fn large() -> usize {
    USAGE.large.load(order::count())
}

/// Free bytes that may hold memory.
pub(crate) fn dirty() -> usize {
    USAGE.dirty.load(order::count())
}

/// Bytes given back by purging, since the start.
pub(crate) fn purged() -> usize {
    USAGE.purged.load(order::count())
}

//! Huge pages for dense chunks of large heaps. A chunk is dense if nearly all of its
//! pages are in memory, and it is part of a huge block or nearly all bytes of its spans
//! are in use. Its pages are collapsed into one of 2 MiB.
//!
//! ```text
//!  a chunk, 512 pages:  ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░   at least 7/8 in memory, and of its spans in use
//!                       └─ one page ───┘
//! ```
//!
//! The chunk is advised against huge pages again afterwards. So the system does not
//! restore pages that are purged later: a purge splits the huge page for good.

use crate::background::span_purge;
use crate::base::geometry::{CHUNK, UNIT};
use crate::base::ordering;
use crate::base::sync::AtomicUsize;
use crate::pages::address_space;
use crate::pages::huge_block;
use crate::pages::thp;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HEAP;
use crate::sys;

/// A dense chunk may lack one page, and one byte of its spans, in so many.
const MISSING: usize = 8;

/// The chunk that is examined next; past the last one, the pass is over.
static NEXT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Chunks of the huge block at `NEXT` that were examined.
static WITHIN: AtomicUsize = AtomicUsize::new(0);

/// Starts a pass over all chunks.
pub(crate) fn begin() {
    if thp::are_automatic() {
        WITHIN.store(0, ordering::collapse_cursor());
        NEXT.store(0, ordering::collapse_cursor());
    }
}

/// Whether chunks are left in this pass.
pub(crate) fn is_busy() -> bool {
    NEXT.load(ordering::collapse_cursor()) < MAP.used_chunks()
}

/// Examines `count` chunks, and collapses those that are dense. Returns whether any
/// are left in this pass.
pub(crate) fn step(count: usize) -> bool {
    let (mut at, end) = (NEXT.load(ordering::collapse_cursor()), MAP.used_chunks());
    let mut within = WITHIN.load(ordering::collapse_cursor());
    for _ in 0..count {
        if within == 0 {
            at = address_space::in_use(at, end).next().unwrap_or(end);
        }
        if at >= end {
            break;
        }
        let (whole, chunks) = huge_chunks(at);
        if within < whole {
            collapse_if_in_memory(at + within);
        } else if whole == 0 && are_used(at) {
            collapse_if_in_memory(at);
        }
        within += 1;
        if within >= whole {
            (at, within) = (at + chunks, 0);
        }
    }
    WITHIN.store(within, ordering::collapse_cursor());
    let left = at < end;
    NEXT.store(if left { at } else { usize::MAX }, ordering::collapse_cursor());
    left
}

/// How many chunks lie within the huge block that starts at a chunk, and how many its
/// addresses take; 0 and 1: there is none.
fn huge_chunks(index: usize) -> (usize, usize) {
    let entry = MAP.entry(MAP.chunk_base(index));
    if page_map::kind(entry) == page_map::HUGE && page_map::owner(entry) != NO_HEAP {
        let (bytes, chunks) = huge_block::extent(index);
        (bytes / CHUNK, chunks.max(1))
    } else {
        (0, 1)
    }
}

/// Whether a chunk consists of spans that are in use but for one byte in [`MISSING`].
fn are_used(index: usize) -> bool {
    if MAP.chunk(index).granules.free_hint() != 0 {
        return false;
    }
    let (spans, free) = span_purge::free_bytes(index);
    spans != 0 && free <= CHUNK / MISSING
}

/// Collapses the pages of a chunk into a huge page, if nearly all are in memory.
fn collapse_if_in_memory(index: usize) {
    let base = MAP.chunk_base(index);
    let mut pages = [0; CHUNK / UNIT];
    let page = sys::page_size();
    let told = sys::resident(base, CHUNK, &mut pages);
    let present = pages[..CHUNK / page].iter().filter(|page| **page != 0).count() * page;
    if !told || present < CHUNK - CHUNK / MISSING {
        return;
    }
    // SAFETY: the contents stay, whoever has the chunk.
    unsafe { thp::collapse(index) };
}

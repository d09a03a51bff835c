//! Purging of spans in use: pages without a live block are given back and become holes.
//! Spans are searched chunk by chunk, in the order of their addresses. A span from
//! which blocks were taken since the last search is left alone.
//!
//! Where blocks are taken from all spans all the time, none would ever rest, and none would
//! become empty: a thread hands out again what it freed last, wherever that lies. So if far too
//! much is free, sparse spans are *evicted*: they leave the heap of their thread, which takes
//! blocks from fuller ones, and only lose blocks from then on.
//!
//! ```text
//!  a span of 1280-byte blocks, 16 units: ▓ live  ░ free, holds memory  . a hole
//!  before  │▓░░░│░░░░│░░▓▓│░░░░│░░░░│░░░░│░▓░░│ …
//!  after   │▓░░░│....│░░▓▓│....│....│....│░▓░░│ …
//! ```

use core::ptr::NonNull;

use crate::base::bits;
use crate::base::geometry::{CHUNK, GRANULE_UNITS, SPAN_GRANULES, UNIT};
use crate::base::ordering;
use crate::base::sync::AtomicUsize;
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::cgroup;
use crate::pages::counters::COUNTERS;
use crate::pages::thp;
use crate::pages::usage;
use crate::remote::span_transfer::{self, SpanPurge};
use crate::spans::page_map::{Chunk, MAP};
use crate::spans::span::Span;
use crate::sys;

/// Chunks per search: a few milliseconds.
const AT_ONCE: usize = 1024;

/// Pages of more units than this fit in few spans: they are not purged.
const LARGEST_PAGE: usize = 8;

/// The next search starts behind this chunk.
static CURSOR: AtomicUsize = AtomicUsize::new(0);

/// Chunks that were searched since the last one where something could be purged.
static FRUITLESS: AtomicUsize = AtomicUsize::new(0);

/// The result of a search.
pub(crate) struct Found {
    /// Bytes purged.
    pub(crate) bytes: usize,
    /// Whether the next search may purge more.
    pub(crate) more: bool,
    /// Loose bytes of spans that were evicted: more of these is purged later.
    pub(super) evicted: usize,
}

/// Makes all spans record from now on whether blocks are taken from them, as a search
/// does that purges nothing.
pub(crate) fn start_watching() {
    for index in address_space::in_use(0, MAP.used_chunks()) {
        for_spans(index, |_, span| span_transfer::start_watching(span));
    }
}

/// Searches some chunks, and purges about `want` bytes; if `rested`, none of spans from
/// which blocks were taken lately. Several searches pass over a large heap: once none of its
/// chunks had anything, there is no more.
pub(crate) fn search(want: usize, rested: bool) -> Found {
    let chunks = MAP.used_chunks();
    let mut fruitless = FRUITLESS.load(ordering::span_purge_cursor());
    let mut found = Found { bytes: 0, more: false, evicted: 0 };
    let last = CURSOR.load(ordering::span_purge_cursor()).min(chunks);
    let behind = address_space::in_use(last + 1, chunks);
    let before = address_space::in_use(0, chunks.min(last + 1));
    for (count, index) in behind.chain(before).enumerate() {
        if count == AT_ONCE || found.bytes + found.evicted >= want {
            found.more |= fruitless < address_space::mapped() / CHUNK;
            break;
        }
        let (before, later) = (found.bytes + found.evicted, core::mem::take(&mut found.more));
        search_chunk(index, rested, &mut found);
        let any = found.bytes + found.evicted != before || found.more;
        fruitless = if any { 0 } else { fruitless + 1 };
        found.more |= later;
        CURSOR.store(index, ordering::span_purge_cursor());
    }
    COUNTERS.purges.add(usize::from(found.bytes != 0));
    // What becomes free later is to be found by another pass.
    FRUITLESS.store(if found.more { fruitless } else { 0 }, ordering::span_purge_cursor());
    found
}

/// Purges all spans, also those from which blocks were just taken, waiting for heaps
/// that are open. Returns how many bytes.
pub(crate) fn purge_all() -> usize {
    let mut bytes = 0;
    for index in address_space::in_use(0, MAP.used_chunks()) {
        for_spans(index, |chunk, span| {
            let mut made_holes = purgeable_units(chunk, span, false);
            while made_holes == SpanPurge::Later && span_transfer::wait_for_heap_of(span) {
                made_holes = purgeable_units(chunk, span, false);
            }
            if let SpanPurge::Units(units) = made_holes {
                thp::left_huge_page(index);
                bytes += units * UNIT;
            }
        });
    }
    COUNTERS.purges.add(usize::from(bytes != 0));
    bytes
}

fn search_chunk(index: usize, rested: bool, found: &mut Found) {
    let stays = thp::is_in_huge_page(index) && !cgroup::is_short() && !is_worth_splitting(index);
    for_spans(index, |chunk, span| {
        let made_holes = if stays { SpanPurge::No } else { purgeable_units(chunk, span, rested) };
        match made_holes {
            SpanPurge::No => {}
            SpanPurge::Later => found.more = true,
            SpanPurge::Units(units) => {
                thp::left_huge_page(index);
                found.bytes += units * UNIT;
            }
        }
        // SAFETY: [CHUNK-SPANS] span records are never freed.
        let heap = unsafe { span.as_ref() }.heap();
        if !rested && arena::by_id(heap).is_none() {
            let loose = span_transfer::evict(span, &arena::of(chunk).heap);
            found.evicted += loose.unwrap_or(0);
        }
    });
}

/// A huge page is not split unless one byte in so many of it can be purged, or memory is short.
const WORTH_SPLITTING: usize = 8;

/// Whether so much of a chunk can be purged that it may lose its huge page.
fn is_worth_splitting(index: usize) -> bool {
    let (mut bytes, page) = (0, sys::page_size() / UNIT);
    for_spans(index, |_, span| bytes += span_transfer::purgeable_bytes(span, page).unwrap_or(0));
    bytes >= CHUNK / WORTH_SPLITTING
}

/// Spans of a chunk, and bytes of their free blocks.
pub(super) fn free_bytes(index: usize) -> (usize, usize) {
    let (mut spans, mut free) = (0, 0);
    for_spans(index, |_, span| {
        if let Some(bytes) = span_transfer::free_bytes(span) {
            spans += 1;
            free += bytes;
        }
    });
    (spans, free)
}

/// Calls `f` for what seem to be the spans of a chunk.
pub(super) fn for_spans(index: usize, mut f: impl FnMut(&Chunk, NonNull<Span>)) {
    let chunk = MAP.chunk(index);
    for granule in bits::ones(!chunk.granules.free_hint()) {
        if let Some(span) = chunk.span_from(granule) {
            f(chunk, span);
        }
    }
}

fn purgeable_units(chunk: &Chunk, span: NonNull<Span>, rested: bool) -> SpanPurge {
    let page = sys::page_size() / UNIT;
    if page > LARGEST_PAGE {
        return SpanPurge::No;
    }
    let to = &arena::of(chunk).heap;
    let made_holes = span_transfer::purge_span(span, page, rested, to, |base, units| {
        // SAFETY: no block is live in these units, and none is taken meanwhile.
        give(units, |first, len| unsafe { sys::purge(base.add(first * UNIT), len * UNIT) })
    });
    if let SpanPurge::Units(units) = made_holes {
        usage::made_holes(units * UNIT);
    }
    made_holes
}

/// Purges units, run by run. Returns those for which `purge` succeeded.
fn give(units: u64, mut purge: impl FnMut(usize, usize) -> bool) -> u64 {
    bits::runs(|_| units, SPAN_GRANULES * GRANULE_UNITS)
        .filter(|&(first, len)| purge(first, len))
        .fold(0, |given, (first, len)| given | bits::mask(first, len))
}

//! Holes: where no block of a page is live, its memory goes back although the
//! span is in use. The spans are searched chunk by chunk, in the order of their
//! addresses; one of which blocks were taken since the last time is left alone.
//!
//! ```text
//!  a span of 1280-byte blocks, 16 units: ▓ live  ░ free, holds memory  . a hole
//!  before  │▓░░░│░░░░│░░▓▓│░░░░│░░░░│░░░░│░▓░░│ …
//!  after   │▓░░░│....│░░▓▓│....│....│....│░▓░░│ …
//! ```

use core::ptr::NonNull;

use crate::base::bits;
use crate::base::geometry::{GRANULE_UNITS, SPAN_GRANULES, UNIT};
use crate::base::ordering;
use crate::base::sync::AtomicUsize;
use crate::pages::arena;
use crate::pages::usage;
use crate::remote::span_transfer::{self, SpanPurge};
use crate::spans::page_map::{Chunk, MAP};
use crate::spans::span::Span;
use crate::sys;

/// Chunks searched at a time: a few milliseconds.
const AT_ONCE: usize = 1024;

/// Larger pages than this many units fit in few spans: they are left alone.
const LARGEST_PAGE: usize = 8;

/// The chunk behind which the next search begins.
static CURSOR: AtomicUsize = AtomicUsize::new(0);

/// What a search found.
pub(super) struct Found {
    /// Bytes that went back.
    pub(super) bytes: usize,
    /// Whether more may, the next time.
    pub(super) more: bool,
}

/// Has all spans note from now on whether blocks are taken there, as a search does
/// that gives nothing back.
pub(crate) fn start_watching() {
    for index in 0..MAP.readable_chunks() {
        for_spans(index, |_, span| span_transfer::start_watching(span));
    }
}

/// Searches some chunks, and gives back about `want` bytes.
pub(super) fn search(want: usize) -> Found {
    let chunks = MAP.readable_chunks();
    let mut found = Found { bytes: 0, more: chunks > AT_ONCE };
    let mut at = CURSOR.load(ordering::span_purge_cursor());
    for _ in 0..chunks.min(AT_ONCE) {
        if found.bytes >= want {
            found.more = true;
            break;
        }
        at = if at + 1 < chunks { at + 1 } else { 0 };
        search_chunk(at, &mut found);
    }
    CURSOR.store(at, ordering::span_purge_cursor());
    found
}

/// Gives back what there is, in spans in use of this moment, too, waiting for those
/// whose heaps are open. Returns how many bytes.
pub(crate) fn purge_all() -> usize {
    let mut bytes = 0;
    for index in 0..MAP.readable_chunks() {
        for_spans(index, |chunk, span| {
            let mut made_holes = purgeable_units(chunk, span, false);
            while made_holes == SpanPurge::Later && span_transfer::wait_for_heap_of(span) {
                made_holes = purgeable_units(chunk, span, false);
            }
            if let SpanPurge::Units(units) = made_holes {
                bytes += units * UNIT;
            }
        });
    }
    bytes
}

fn search_chunk(index: usize, found: &mut Found) {
    for_spans(index, |chunk, span| match purgeable_units(chunk, span, true) {
        SpanPurge::No => {}
        SpanPurge::Later => found.more = true,
        SpanPurge::Units(units) => found.bytes += units * UNIT,
    });
}

/// Calls `f` with what seem to be the spans of a chunk.
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
        // SAFETY: no block is out there, and none is taken meanwhile.
        give(units, |first, len| unsafe { sys::purge(base.add(first * UNIT), len * UNIT) })
    });
    if let SpanPurge::Units(units) = made_holes {
        usage::made_holes(units * UNIT);
    }
    made_holes
}

/// Gives units back, run by run; those of which `purge` says that it did.
fn give(units: u64, mut purge: impl FnMut(usize, usize) -> bool) -> u64 {
    bits::runs(|_| units, SPAN_GRANULES * GRANULE_UNITS)
        .filter(|&(first, len)| purge(first, len))
        .fold(0, |given, (first, len)| given | bits::mask(first, len))
}

//! What describes the blocks of one chunk, beside its record in the page map: its spans and
//! their long bitmaps, or its page runs. Each is allocated when the chunk first needs it, and
//! stays with the chunk: a thread may look at what once was a span at any time. When the
//! chunk is unmapped the memory goes back, and reads as zero: as spans without a heap.
//!
//! ```text
//!  1 column = 1 KiB
//!  │spans 8 │long bitmaps 16 │runs│      of a chunk that was used for both
//! ```

use core::ptr::NonNull;

use crate::base::geometry::{CHUNK_GRANULES, PAGE};
use crate::base::ordering;
use crate::base::size_class::MAX_WORDS;
use crate::pages::metadata;
use crate::spans::page_map::{Chunk, MAP};
use crate::spans::span::{NO_HEAP, Span};
use crate::sys;

const SPANS: usize = CHUNK_GRANULES * size_of::<Span>();
const LONG_BITS: usize = CHUNK_GRANULES * MAX_WORDS * size_of::<u64>();
/// Bytes for the page runs of a chunk: a page, which can be given back.
pub(super) const RUNS: usize = PAGE;

/// Allocates the spans and bitmaps of a chunk, unless it has them.
pub(super) fn ensure_spans(chunk: &Chunk) -> bool {
    if chunk.spans.load(ordering::chunk_spans()).is_null() {
        let Some(spans) = metadata::alloc(SPANS) else { return false };
        make_unused(spans.cast());
        chunk.spans.store(spans.as_ptr().cast(), ordering::chunk_spans());
    }
    if chunk.long_bits.load(ordering::chunk_spans()).is_null() {
        let Some(bits) = metadata::alloc(LONG_BITS) else { return false };
        chunk.long_bits.store(bits.as_ptr().cast(), ordering::chunk_spans());
    }
    true
}

/// Makes the spans of a slot, which may have had another use, spans without a heap: a search
/// may find one whose granules were just claimed.
fn make_unused(spans: NonNull<Span>) {
    for at in 0..CHUNK_GRANULES {
        // SAFETY: the slot is ours, and has room for so many; the word is read as any number.
        let span = unsafe { spans.add(at).as_ref() };
        // What is not written to takes no memory.
        if span.heap() != NO_HEAP {
            span.set_heap(NO_HEAP);
        }
    }
}

/// Allocates the place for the page runs of a chunk, unless it has one.
pub(super) fn ensure_runs(chunk: &Chunk) -> Option<NonNull<u8>> {
    let runs = chunk.runs.load(ordering::chunk_runs());
    NonNull::new(runs).or_else(|| {
        let place = metadata::alloc(RUNS)?;
        chunk.runs.store(place.as_ptr(), ordering::chunk_runs());
        Some(place)
    })
}

/// Gives back the memory of what describes the chunks `at..at + count`, which are the
/// caller's, and hold nothing. Where the system refuses, it stays.
pub(super) fn purge(at: usize, count: usize) {
    let mut pending = Pending { start: 0, end: 0 };
    for chunk in (at..at + count).map(|index| MAP.chunk(index)) {
        let spans = chunk.spans.load(ordering::chunk_spans());
        pending.add(spans.addr(), SPANS);
        pending.add(chunk.long_bits.load(ordering::chunk_spans()).addr(), LONG_BITS);
        pending.add(chunk.runs.load(ordering::chunk_runs()).addr(), RUNS);
    }
    pending.purge();
}

/// Bytes to be purged, in one call: chunks that were first used one after the other have
/// theirs side by side.
struct Pending {
    start: usize,
    end: usize,
}

impl Pending {
    fn add(&mut self, start: usize, bytes: usize) {
        if start == 0 {
            return;
        }
        if start == self.end {
            self.end += bytes;
        } else if start + bytes == self.start {
            self.start = start;
        } else {
            self.purge();
            (self.start, self.end) = (start, start + bytes);
        }
    }

    fn purge(&self) {
        let page = sys::page_size();
        let start = self.start.next_multiple_of(page);
        let bytes = (self.end / page * page).saturating_sub(start);
        if bytes != 0 {
            let start = core::ptr::with_exposed_provenance_mut(start);
            // SAFETY: [CHUNK-SPANS] nobody relies on what describes a chunk without blocks.
            unsafe { sys::purge(start, bytes) };
        }
    }
}

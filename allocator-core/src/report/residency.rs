//! Which of our memory is resident. The system tells it page by page (`mincore`), a
//! chunk at a time; the page map, the granules' bitmaps and the records of page runs
//! tell what each unit is used for. Other threads are not stopped: what changes
//! owners meanwhile may be missed.
//!
//! ```text
//!  huge block ──┬───────────────► large
//!               └─ its tail ────► large_free
//!  guarded blocks ──────────────► large
//!  page runs ───┬─ in use ──────► large
//!               ├─ free, dirty ─► large_free, with spare chunks
//!               └─ free, clean ─► clean
//!  granules ────┬─ in a span ───► spans[class]
//!               ├─ free, dirty ─► granules
//!               └─ free, clean ─► clean
//!  tables, metadata ────────────► metadata
//! ```

use crate::base::geometry::{CHUNK, CHUNK_UNITS, GRANULE, UNIT};
use crate::base::lock::Wait;
use crate::base::size_class::CLASSES;
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::huge_block;
use crate::pages::metadata;
use crate::pages::tables;
use crate::spans::page_map::{self, CHUNK_TABLE, MAP};
use crate::spans::span::NO_HEAP;
use crate::spans::standby::STANDBY;
use crate::sys;

/// Bytes of physical memory, by use.
pub(super) struct Residency {
    /// Spans in use, of each class.
    pub(crate) spans: [usize; CLASSES],
    /// Free dirty granules, as far as they are resident.
    pub(crate) granules: usize,
    /// Page runs, huge and guarded blocks in use.
    pub(crate) large: usize,
    /// Free dirty units and spare chunks, as far as they are resident.
    pub(super) large_free: usize,
    /// Free granules and units that are clean, but resident all the same.
    pub(super) clean: usize,
    /// The tables, and the segments of the metadata allocator.
    pub(super) metadata: usize,
    /// Parts of the heap whose locks could not be had.
    pub(super) missed: usize,
}

/// Reads all of it. Holds locks only briefly, and none while it asks the system.
pub(crate) fn read(wait: Wait) -> Residency {
    let mut residency = Residency {
        spans: [0; CLASSES],
        granules: 0,
        large: 0,
        large_free: 0,
        clean: 0,
        metadata: 0,
        missed: 0,
    };
    let (mut at, end) = (0, MAP.used_chunks());
    while let Some(index) = next_in_use(at, end, wait) {
        at = index + residency.add_chunk(index, wait);
    }
    residency.add_spares(wait);
    residency.add_metadata(end, wait);
    residency
}

/// The next chunk in use. If that cannot be told, each of them: what is not in use has nothing.
fn next_in_use(from: usize, end: usize, wait: Wait) -> Option<usize> {
    address_space::next_in_use(from, end, wait).unwrap_or((from < end).then_some(from))
}

/// Calls `f` with the offset of each unit of a range that is resident. In a range
/// that is not mapped, none is.
fn for_units(start: *mut u8, size: usize, mut f: impl FnMut(usize)) {
    let mut pages = [0; CHUNK_UNITS];
    let page = sys::page_size();
    for piece in (0..size).step_by(CHUNK) {
        let len = CHUNK.min(size - piece);
        if sys::resident(start.wrapping_add(piece), len, &mut pages) {
            let there = (0..len).step_by(UNIT).filter(|offset| pages[offset / page] != 0);
            there.for_each(|offset| f(piece + offset));
        }
    }
}

/// Bytes of a range that are resident.
fn bytes(start: *mut u8, size: usize) -> usize {
    let mut units = 0;
    for_units(start, size, |_| units += 1);
    units * UNIT
}

impl Residency {
    /// Adds what starts at a chunk. Returns how many chunks that covers.
    fn add_chunk(&mut self, index: usize, wait: Wait) -> usize {
        let base = MAP.chunk_base(index);
        let entry = MAP.entry(base);
        match page_map::kind(entry) {
            page_map::HUGE if page_map::owner(entry) != NO_HEAP => {
                let (size, chunks) = huge_block::extent(index);
                let resident = bytes(base, size);
                let is_free = STANDBY.seen().is_some_and(|freed| freed.index == index);
                *if is_free { &mut self.large_free } else { &mut self.large } += resident;
                let rest = (chunks.max(1) * CHUNK).saturating_sub(size);
                self.large_free += bytes(base.wrapping_add(size), rest);
                return chunks.max(1);
            }
            page_map::GUARDED => self.large += bytes(base, CHUNK),
            page_map::MEDIUM if page_map::owner(entry) != NO_HEAP => {
                self.add_runs(index, page_map::owner(entry), wait);
            }
            _ => self.add_granules(index),
        }
        1
    }

    /// Adds the spare chunks.
    fn add_spares(&mut self, wait: Wait) {
        let mut from = 0;
        loop {
            match address_space::next_spare(from, wait) {
                Some(Some((chunk, memory))) => {
                    if memory != 0 {
                        self.large_free += bytes(MAP.chunk_base(chunk), memory);
                    }
                    from = chunk + 1;
                }
                Some(None) => return,
                None => {
                    self.missed += 1;
                    return;
                }
            }
        }
    }

    /// Adds a chunk of page runs. Without the lock, all of it counts as in use.
    fn add_runs(&mut self, index: usize, owner: u32, wait: Wait) {
        let free = arena::by_id(owner).map(|arena| arena.page_runs.free(index, wait));
        self.missed += usize::from(matches!(free, Some(None)));
        let free = free.flatten().flatten();
        for_units(MAP.chunk_base(index), CHUNK, |offset| {
            let clean = free.as_ref().and_then(|free| free.is_clean(offset / UNIT));
            match clean {
                Some(true) => self.clean += UNIT,
                Some(false) => self.large_free += UNIT,
                None => self.large += UNIT,
            }
        });
    }

    /// Adds a chunk of granules. In one that is not mapped, no granule is in a span
    /// or free: so nothing is added, even if the addresses have another use.
    fn add_granules(&mut self, index: usize) {
        if !MAP.was_used(index) {
            return;
        }
        let base = MAP.chunk_base(index);
        let granules = &MAP.chunk(index).granules;
        let (free, dirty) = (granules.free_hint(), granules.dirty_hint());
        for_units(base, CHUNK, |offset| {
            let entry = MAP.entry(base.wrapping_add(offset));
            let granule = offset / GRANULE;
            if page_map::owner(entry) != NO_HEAP {
                if let Some(span) = self.spans.get_mut(page_map::kind(entry) as usize) {
                    *span += UNIT;
                }
            } else if dirty >> granule & 1 != 0 {
                self.granules += UNIT;
            } else if free >> granule & 1 != 0 {
                self.clean += UNIT;
            }
        });
    }

    /// Adds the tables as far as they are opened, for `chunks`, and the segments of
    /// the metadata allocator.
    fn add_metadata(&mut self, chunks: usize, wait: Wait) {
        let per_page = sys::page_size() / CHUNK_TABLE;
        for table in MAP.tables() {
            for_units(table.start(), chunks * CHUNK_TABLE, |offset| {
                // A page that was only read is the system's page of zeros.
                let first = offset / CHUNK_TABLE / per_page * per_page;
                if (first..chunks.min(first + per_page)).any(|index| MAP.was_used(index)) {
                    self.metadata += UNIT;
                }
            });
        }
        let others = tables::all().into_iter().skip(MAP.tables().len());
        self.metadata += others.map(|table| bytes(table.start(), table.opened())).sum::<usize>();
        for index in 0.. {
            match metadata::nth_segment(index, wait) {
                Some(Some(segment)) => self.metadata += bytes(segment.at, segment.bytes),
                Some(None) => return,
                None => {
                    self.missed += 1;
                    return;
                }
            }
        }
    }
}

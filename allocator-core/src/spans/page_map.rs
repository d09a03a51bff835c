//! The page map: one load gives the owner and the class of an address. The
//! table of chunks leads slow paths to spans.
//!
//! All our memory lies in one window of addresses, which has no end but that of all
//! addresses. The tables are opened (readable) from the front, up to the highest granule
//! ever used. Any pointer, ours or not, costs one bounds check.
//!
//! ```text
//!  window   │chunk 0 │chunk 1 │chunk 2 │ …
//!           ├─ 2 MiB ┼─ 2 MiB ┼─ …
//!  entries  │256 B   │256 B   │ …   one u32 per granule (32 KiB):
//!                                   owner : 24 │ class : 8
//!  chunks   │256 B   │256 B   │ …   one record per chunk
//! ```

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::base::geometry::{CHUNK_GRANULES, CHUNK_SHIFT, GRANULE, GRANULE_SHIFT};
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize};
use crate::base::table::Table;
use crate::spans::granules::Granules;
use crate::spans::span::{Body, Span};
use crate::spans::tail::Tail;
use crate::sys;

/// Class byte of all granules of the chunks that hold guarded blocks.
pub(crate) const GUARDED: u32 = 252;
/// Class byte of a granule in a chunk of page runs.
pub(crate) const MEDIUM: u32 = 253;
/// Class byte of a huge block, which has chunks of its own.
pub(crate) const HUGE: u32 = 254;

/// Makes an entry of its two parts.
#[inline(always)]
pub(crate) const fn entry_of(owner: u32, class: u32) -> u32 {
    owner << 8 | class
}

/// The owner in an entry. 0 means "not ours".
#[inline(always)]
pub(crate) const fn owner(entry: u32) -> u32 {
    entry >> 8
}

/// The class in an entry.
#[inline(always)]
pub(crate) const fn kind(entry: u32) -> u32 {
    entry & 0xff
}

/// The record of a chunk. Never unmapped; all zero until first used.
#[repr(C, align(256))]
pub(crate) struct Chunk {
    /// The free granules. Chunks that do not hold spans have none.
    pub(crate) granules: Granules,
    /// The 64 spans, one for each granule. A span uses that of its first
    /// granule. Written before any block of the chunk is handed out.
    pub(crate) spans: AtomicPtr<Span>,
    /// The 64 long bitmaps, one for each granule. Written like `spans`.
    pub(crate) long_bits: AtomicPtr<u64>,
    /// The place for the record of its page runs. Written before it first has any.
    pub(crate) runs: AtomicPtr<u8>,
    /// Bytes of a huge block that starts here.
    pub(crate) huge_bytes: AtomicUsize,
    /// Bytes mapped for it: the same number, or up to the end of its last chunk.
    pub(crate) huge_mapped: AtomicUsize,
    /// Chunks of addresses of the huge block that starts here.
    pub(crate) huge_chunks: AtomicUsize,
    /// What lies behind the huge block that starts here.
    pub(crate) huge_tail: Tail,
    /// Bytes at the end of a spare chunk that hold no memory; else 0.
    pub(crate) clean_tail: AtomicUsize,
    /// Whether its memory was made one huge page of the system, and no part of it was purged
    /// since.
    pub(crate) in_huge_page: AtomicBool,
    /// The shard of a chunk of spans, plus one; 0: it is none.
    pub(crate) arena: AtomicU32,
    /// For each granule, the first granule of its span.
    heads: [AtomicU8; CHUNK_GRANULES],
}

const _: () = assert!(size_of::<Chunk>() == 256);

#[repr(C, align(64))]
pub(crate) struct Map {
    base: AtomicUsize,
    /// Granules whose entries can be read.
    readable: AtomicUsize,
    /// Chunks that may have been used: all below this.
    used: AtomicUsize,
    entries: Table,
    chunks: Table,
}

/// A thread's own view of the map, for its fast path. It may be out of date;
/// the slow path refreshes it.
pub(crate) struct View {
    /// Added to an address, gives its offset in the window. Other threads write
    /// this word too: see [`invalidate`](Self::invalidate).
    minus_base: AtomicUsize,
    readable: Cell<usize>,
    entries: Cell<*const AtomicU32>,
}

/// With this `minus_base`, all addresses lie beyond any window.
const INVALIDATED: usize = 1 << 62;

impl View {
    /// An empty view: no pointer seems to be ours.
    pub(crate) const fn empty() -> Self {
        View {
            minus_base: AtomicUsize::new(0),
            readable: Cell::new(0),
            entries: Cell::new(ptr::null()),
        }
    }

    /// Brings the view up to date. Called by the thread of the view.
    pub(crate) fn refresh(&self) {
        self.readable.set(MAP.readable.load(ordering::map_readable()));
        self.entries.set(MAP.entries.start().cast());
        let base = MAP.base.load(ordering::map_base());
        self.minus_base.store(base.wrapping_neg(), ordering::view_offset());
    }

    /// Empties the view, so that the thread's next free takes the slow path.
    /// Any thread may call this. A concurrent `refresh` may undo it.
    pub(crate) fn invalidate(&self) {
        self.minus_base.store(INVALIDATED, ordering::view_offset());
    }

    /// Returns whether another thread has invalidated the view.
    pub(crate) fn is_invalidated(&self) -> bool {
        self.minus_base.load(ordering::view_offset()) == INVALIDATED
    }

    /// The entry of the granule that `ptr` is in, if the view covers it.
    #[inline(always)]
    pub(crate) fn entry(&self, ptr: *mut u8) -> Option<u32> {
        let offset = self.minus_base.load(ordering::view_offset()).wrapping_add(ptr.addr());
        let granule = offset >> GRANULE_SHIFT;
        if granule >= self.readable.get() {
            return None;
        }
        // SAFETY: [MAP-READABLE] entries below `readable` stay readable forever.
        Some(unsafe { (*self.entries.get().add(granule)).load(ordering::map_entry()) })
    }
}

/// The table of entries, and how far it was readable when this was made.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    base: usize,
    readable: usize,
    start: *const AtomicU32,
}

impl Entries {
    /// The entry of the granule that `ptr` is in. It is 0 for every pointer
    /// that is not ours.
    #[inline(always)]
    pub(crate) fn of(&self, ptr: *mut u8) -> u32 {
        let granule = ptr.addr().wrapping_sub(self.base) >> GRANULE_SHIFT;
        if granule >= self.readable {
            return 0;
        }
        // SAFETY: [MAP-READABLE] entries below `readable` stay readable forever.
        unsafe { (*self.start.add(granule)).load(ordering::map_entry()) }
    }
}

pub(crate) static MAP: Map = Map {
    base: AtomicUsize::new(0),
    readable: AtomicUsize::new(0),
    used: AtomicUsize::new(0),
    entries: Table::new(),
    chunks: Table::new(),
};

/// Bytes of the table of entries for `chunks`.
pub(crate) const fn entries_bytes(chunks: usize) -> usize {
    chunks * CHUNK_GRANULES * size_of::<AtomicU32>()
}

/// Bytes of the table of chunks for `chunks`.
pub(crate) const fn chunks_bytes(chunks: usize) -> usize {
    chunks * size_of::<Chunk>()
}

/// Bytes of one chunk's part of each of the two tables.
pub(crate) const CHUNK_TABLE: usize = chunks_bytes(1);

const _: () = assert!(entries_bytes(1) == CHUNK_TABLE);

impl Map {
    /// Sets the address of the window. Called once, before any other thread uses the map.
    pub(crate) fn set_base(&self, base: usize) {
        self.base.store(base, ordering::map_base());
    }

    /// The entries that are readable now, for looking up many pointers to
    /// blocks that already exist.
    #[inline(always)]
    pub(crate) fn entries(&self) -> Entries {
        Entries {
            base: self.base.load(ordering::map_base()),
            readable: self.readable.load(ordering::map_readable()),
            start: self.entries.start().cast(),
        }
    }

    /// The entry of the granule that `ptr` is in. It is 0 for every pointer
    /// that is not ours.
    #[inline]
    pub(crate) fn entry(&self, ptr: *mut u8) -> u32 {
        self.entries().of(ptr)
    }

    /// The granule of the window that `ptr` is in. For a pointer that is not
    /// ours, it may lie beyond the end.
    #[inline]
    fn granule(&self, ptr: *mut u8) -> usize {
        ptr.addr().wrapping_sub(self.base.load(ordering::map_base())) >> GRANULE_SHIFT
    }

    /// Writes the entries of `count` granules from `ptr` on.
    pub(crate) fn set(&self, ptr: *mut u8, count: usize, entry: u32) {
        let first = self.granule(ptr);
        let entries = self.entries.start().cast::<AtomicU32>();
        for granule in first..first + count {
            // SAFETY: [MAP-READABLE] our memory lies below `readable`.
            unsafe { (*entries.add(granule)).store(entry, ordering::map_entry()) };
        }
    }

    /// As [`set`](Self::set), but only what differs: in the child of a fork, a page that is not
    /// written to stays shared with the parent.
    pub(crate) fn set_all(&self, ptr: *mut u8, count: usize, entry: u32) {
        for granule in (0..count).map(|at| ptr.wrapping_add(at * GRANULE)) {
            if self.entry(granule) != entry {
                self.set(granule, 1, entry);
            }
        }
    }

    /// The record of chunk `index`, which must be opened.
    #[inline]
    pub(crate) fn chunk(&self, index: usize) -> &'static Chunk {
        // SAFETY: [MAP-READABLE] opened records are readable; all zero is a valid one.
        unsafe { &*self.chunks.start().cast::<Chunk>().add(index) }
    }

    /// The chunk of the window that `ptr` is in. The pointer must be ours.
    #[inline]
    pub(crate) fn chunk_index(&self, ptr: *mut u8) -> usize {
        self.granule(ptr) / CHUNK_GRANULES
    }

    /// The first byte of chunk `index`.
    #[inline]
    pub(crate) fn chunk_base(&self, index: usize) -> *mut u8 {
        ptr::with_exposed_provenance_mut(
            self.base.load(ordering::map_base()) + (index << CHUNK_SHIFT),
        )
    }

    /// Chunks whose entries and records can be read.
    pub(crate) fn readable_chunks(&self) -> usize {
        self.readable.load(ordering::map_readable()) / CHUNK_GRANULES
    }

    /// Chunks that may have been used: all others are above. They are readable.
    pub(crate) fn used_chunks(&self) -> usize {
        self.used.load(ordering::map_used())
    }

    /// Records that chunks below `end`, which are readable, are used from now on.
    pub(crate) fn use_chunks(&self, end: usize) {
        if end > self.used_chunks() {
            self.used.fetch_max(end, ordering::map_used());
        }
    }

    /// Records that the tables are opened for the chunks below `end`.
    pub(crate) fn set_readable(&self, end: usize) {
        self.readable.fetch_max(end * CHUNK_GRANULES, ordering::map_readable());
    }

    /// The two tables: of entries, and of chunk records. In each, a chunk has
    /// [`CHUNK_TABLE`] bytes.
    pub(crate) fn tables(&self) -> [&Table; 2] {
        [&self.entries, &self.chunks]
    }

    /// Returns whether chunk `index`, which must be opened, was ever in use. If
    /// not, its part of the tables was never written.
    pub(crate) fn was_used(&self, index: usize) -> bool {
        let chunk = self.chunk(index);
        !chunk.spans.load(ordering::chunk_spans()).is_null()
            || !chunk.runs.load(ordering::chunk_runs()).is_null()
            || chunk.huge_bytes.load(ordering::chunk_huge()) != 0
            || kind(self.entry(self.chunk_base(index))) == GUARDED
    }
}

impl Chunk {
    /// The span that granule `granule` belongs to.
    #[inline]
    fn span_at(&self, granule: usize) -> NonNull<Span> {
        let head = self.heads[granule].load(ordering::span_heads()) as usize;
        let spans = self.spans.load(ordering::chunk_spans());
        // SAFETY: [CHUNK-SPANS] a chunk with a live block of a span has all
        // its 64 spans, and heads are below 64.
        unsafe { NonNull::new_unchecked(spans.add(head)) }
    }

    /// The span that starts at granule `granule`, if there seems to be one.
    pub(crate) fn span_from(&self, granule: usize) -> Option<NonNull<Span>> {
        let head = self.heads[granule].load(ordering::span_heads());
        let spans = self.spans.load(ordering::chunk_spans());
        (usize::from(head) == granule && !spans.is_null()).then(|| self.span_at(granule))
    }

    /// Makes the granules `first..first + len` one span.
    pub(crate) fn set_span(&self, first: usize, len: usize) -> NonNull<Span> {
        for head in &self.heads[first..first + len] {
            head.store(first as u8, ordering::span_heads());
        }
        self.span_at(first)
    }
}

/// The span of a live small block \[LIVE-PINS-SPAN\].
#[inline]
pub(crate) fn span_of(block: *mut u8) -> NonNull<Span> {
    let granule = MAP.granule(block);
    MAP.chunk(granule / CHUNK_GRANULES).span_at(granule % CHUNK_GRANULES)
}

/// Prefetches the two cache lines of a span.
#[inline]
pub(crate) fn prefetch_span(span: NonNull<Span>) {
    let span = span.as_ptr().cast::<u8>();
    sys::prefetch(span);
    sys::prefetch(span.wrapping_add(size_of::<Span>() / 2));
}

/// The first byte of the span of a live small block.
pub(crate) fn span_base(block: *mut u8) -> usize {
    let granule = MAP.granule(block);
    let (index, granule) = (granule / CHUNK_GRANULES, granule % CHUNK_GRANULES);
    let head = MAP.chunk(index).heads[granule].load(ordering::span_heads()) as usize;
    MAP.chunk_base(index).addr() + head * GRANULE
}

/// Publishes the owner of a span for frees to find. It is a copy of its heap.
pub(crate) fn publish_owner(body: &Body, owner: u32) {
    MAP.set(body.base, body.bytes() / GRANULE, entry_of(owner, u32::from(body.class)));
}

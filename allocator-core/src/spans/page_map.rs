//! The page map: from an address to whose it is and of which class, in one
//! load; and the table of chunks, through which slow paths find spans.
//!
//! All our memory lies in one window of addresses. The tables cover the
//! window, but only their first part is opened (readable): up to the highest
//! granule ever used. Any pointer, ours or not, costs one bounds check.
//!
//! ```text
//!  window   │chunk 0 │chunk 1 │chunk 2 │ …               up to 1 TiB
//!           ├─ 2 MiB ┼─ 2 MiB ┼─ …
//!  entries  │256 B   │256 B   │ …   one u32 a granule (32 KiB):
//!                                   owner : 24 │ class : 8
//!  chunks   │256 B   │256 B   │ …   one record a chunk
//! ```

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::base::geometry::{CHUNK_GRANULES, CHUNK_SHIFT, GRANULE, GRANULE_SHIFT, TABLE_STEP};
use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize};
use crate::spans::granules::Granules;
use crate::spans::span::{Body, Span};
use crate::sys;

/// In the class byte of an entry: a run of pages in a chunk of such.
pub(crate) const MEDIUM: u32 = 253;
/// In the class byte of an entry: a mapping of its own.
pub(crate) const HUGE: u32 = 254;

/// An entry's two parts.
#[inline(always)]
pub(crate) const fn entry_of(owner: u32, class: u32) -> u32 {
    owner << 8 | class
}

/// The owner in an entry; 0 says "not ours".
#[inline(always)]
pub(crate) const fn owner(entry: u32) -> u32 {
    entry >> 8
}

/// The class in an entry.
#[inline(always)]
pub(crate) const fn kind(entry: u32) -> u32 {
    entry & 0xff
}

/// What is known of a chunk. Never unmapped; all zero until first used.
#[repr(C, align(256))]
pub(crate) struct Chunk {
    /// Free granules; none in chunks that do not hold spans.
    pub(crate) granules: Granules,
    /// The spans, one for each granule (that of its first granule counts).
    /// Written before any block of the chunk is handed out.
    pub(crate) spans: AtomicPtr<Span>,
    /// 64 long bitmaps, one for each granule. Likewise.
    pub(crate) long_bits: AtomicPtr<u64>,
    /// Of a chunk of page runs: its record.
    pub(crate) runs: AtomicPtr<u8>,
    /// Bytes of a huge block that starts here.
    pub(crate) huge_bytes: AtomicUsize,
    /// Bytes mapped for it: as many, or to the end of its last chunk.
    pub(crate) huge_mapped: AtomicUsize,
    /// Chunks of addresses that a huge block has here.
    pub(crate) huge_chunks: AtomicUsize,
    /// Which arena's it is.
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
    entries: AtomicPtr<AtomicU32>,
    chunks: AtomicPtr<Chunk>,
}

/// A thread's own view of the map, for its fast path: it may be out of date,
/// which the slow path mends.
pub(crate) struct View {
    /// What to add to an address for its offset in the window. Others write
    /// this word, too: see [`invalidate`](Self::invalidate).
    minus_base: AtomicUsize,
    readable: Cell<usize>,
    entries: Cell<*const AtomicU32>,
}

/// With this for `minus_base`, all addresses lie beyond any window.
const INVALIDATED: usize = 1 << 62;

impl View {
    /// Sees nothing: every pointer seems not to be ours.
    pub(crate) const fn empty() -> Self {
        View {
            minus_base: AtomicUsize::new(0),
            readable: Cell::new(0),
            entries: Cell::new(ptr::null()),
        }
    }

    /// Brings the view up to date. Called by its thread.
    pub(crate) fn refresh(&self) {
        self.readable.set(MAP.readable.load(ordering::map_readable()));
        self.entries.set(MAP.entries.load(ordering::map_tables()));
        let base = MAP.base.load(ordering::map_base());
        self.minus_base.store(base.wrapping_neg(), ordering::view_offset());
    }

    /// Makes the thread see nothing, so that its next free takes the slow way.
    /// Anybody may; the thread may look just then, and the wish is lost.
    pub(crate) fn invalidate(&self) {
        self.minus_base.store(INVALIDATED, ordering::view_offset());
    }

    /// Whether somebody made the thread see nothing.
    pub(crate) fn is_invalidated(&self) -> bool {
        self.minus_base.load(ordering::view_offset()) == INVALIDATED
    }

    /// The entry of the granule that `ptr` is in, if the view goes so far.
    #[inline(always)]
    pub(crate) fn entry(&self, ptr: *mut u8) -> Option<u32> {
        let offset = self.minus_base.load(ordering::view_offset()).wrapping_add(ptr.addr());
        let granule = offset >> GRANULE_SHIFT;
        if granule >= self.readable.get() {
            return None;
        }
        // SAFETY: [MAP-OPENED] entries below `readable` are readable for ever.
        Some(unsafe { (*self.entries.get().add(granule)).load(ordering::map_entry()) })
    }
}

/// Where the entries are, and how far they could be read.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    base: usize,
    readable: usize,
    start: *const AtomicU32,
}

impl Entries {
    /// The entry of the granule that `ptr` is in; 0 for every pointer that
    /// is not ours.
    #[inline(always)]
    pub(crate) fn of(&self, ptr: *mut u8) -> u32 {
        let granule = ptr.addr().wrapping_sub(self.base) >> GRANULE_SHIFT;
        if granule >= self.readable {
            return 0;
        }
        // SAFETY: [MAP-OPENED] entries below `readable` are readable for ever.
        unsafe { (*self.start.add(granule)).load(ordering::map_entry()) }
    }
}

pub(crate) static MAP: Map = Map {
    base: AtomicUsize::new(0),
    readable: AtomicUsize::new(0),
    entries: AtomicPtr::new(ptr::null_mut()),
    chunks: AtomicPtr::new(ptr::null_mut()),
};

/// Bytes of the table of entries for a window of `chunks`.
pub(crate) const fn entries_bytes(chunks: usize) -> usize {
    chunks * CHUNK_GRANULES * size_of::<AtomicU32>()
}

/// Bytes of the table of chunks for a window of `chunks`.
pub(crate) const fn chunks_bytes(chunks: usize) -> usize {
    chunks * size_of::<Chunk>()
}

/// Bytes that a chunk has in each of the two tables.
pub(crate) const CHUNK_TABLE: usize = chunks_bytes(1);

const _: () = assert!(entries_bytes(1) == CHUNK_TABLE);

impl Map {
    /// Says where the window and its tables are, once, while nobody else runs.
    pub(crate) fn init_tables(&self, base: usize, entries: NonNull<u8>, chunks: NonNull<u8>) {
        self.base.store(base, ordering::map_base());
        self.entries.store(entries.as_ptr().cast(), ordering::map_tables());
        self.chunks.store(chunks.as_ptr().cast(), ordering::map_tables());
    }

    /// The entries as far as they go now: for many pointers, of blocks that
    /// are here already.
    #[inline(always)]
    pub(crate) fn entries(&self) -> Entries {
        Entries {
            base: self.base.load(ordering::map_base()),
            readable: self.readable.load(ordering::map_readable()),
            start: self.entries.load(ordering::map_tables()),
        }
    }

    /// The entry of the granule that `ptr` is in; 0 for every pointer that
    /// is not ours.
    #[inline]
    pub(crate) fn entry(&self, ptr: *mut u8) -> u32 {
        self.entries().of(ptr)
    }

    /// Which granule of the window `ptr` is in; if it is not ours, it may be
    /// one beyond the end.
    #[inline]
    fn granule(&self, ptr: *mut u8) -> usize {
        ptr.addr().wrapping_sub(self.base.load(ordering::map_base())) >> GRANULE_SHIFT
    }

    /// Writes the entries of `count` granules from `ptr` on.
    pub(crate) fn set(&self, ptr: *mut u8, count: usize, entry: u32) {
        let first = self.granule(ptr);
        let entries = self.entries.load(ordering::map_tables());
        for granule in first..first + count {
            // SAFETY: [MAP-OPENED] our memory lies below `readable`.
            unsafe { (*entries.add(granule)).store(entry, ordering::map_entry()) };
        }
    }

    /// The record of chunk `index`, which was opened.
    #[inline]
    pub(crate) fn chunk(&self, index: usize) -> &'static Chunk {
        // SAFETY: [MAP-OPENED] likewise for the records; all zero is a valid one.
        unsafe { &*self.chunks.load(ordering::map_tables()).add(index) }
    }

    /// Which chunk of the window `ptr` is in. It is one of ours.
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

    /// Opened chunks.
    pub(crate) fn readable_chunks(&self) -> usize {
        self.readable.load(ordering::map_readable()) / CHUNK_GRANULES
    }

    /// Opens the tables for the chunks below `end`. The caller holds no lock;
    /// two threads may open the same part: the calls have no effect twice.
    pub(crate) fn make_readable(&self, end: usize) -> bool {
        let readable = self.readable_chunks();
        if end <= readable {
            return true;
        }
        let end = end.next_multiple_of(TABLE_STEP);
        let entries = self.entries.load(ordering::map_tables()).cast::<u8>();
        let chunks = self.chunks.load(ordering::map_tables()).cast::<u8>();
        let opens = |table: *mut u8, bytes: fn(usize) -> usize| {
            // SAFETY: [MAP-RESERVED] the tables were reserved for the whole
            // window, in which `end` lies.
            unsafe { sys::commit(table.add(bytes(readable)), bytes(end) - bytes(readable)) }
        };
        if !opens(chunks, chunks_bytes) || !opens(entries, entries_bytes) {
            return false;
        }
        self.readable.fetch_max(end * CHUNK_GRANULES, ordering::map_readable());
        true
    }

    /// Where the two tables are. In both, a chunk has [`CHUNK_TABLE`] bytes.
    pub(crate) fn tables(&self) -> [*mut u8; 2] {
        [
            self.entries.load(ordering::map_tables()).cast(),
            self.chunks.load(ordering::map_tables()).cast(),
        ]
    }

    /// Whether chunk `index`, which was opened, ever was in use: else its part
    /// of the tables was never written.
    pub(crate) fn was_used(&self, index: usize) -> bool {
        let chunk = self.chunk(index);
        !chunk.spans.load(ordering::chunk_spans()).is_null()
            || !chunk.runs.load(ordering::chunk_runs()).is_null()
            || chunk.huge_bytes.load(ordering::chunk_huge()) != 0
    }

    /// Gives back the addresses of the tables for chunks from `now` to
    /// `end`, which the window has no more.
    pub(crate) fn release_tables(&self, now: usize, end: usize) {
        let entries = self.entries.load(ordering::map_tables()).cast::<u8>();
        let chunks = self.chunks.load(ordering::map_tables()).cast::<u8>();
        // SAFETY: [MAP-RESERVED] these parts were reserved and never opened,
        // and no chunk there can be taken any more.
        unsafe {
            sys::release(entries.add(entries_bytes(now)), entries_bytes(end) - entries_bytes(now));
            sys::release(chunks.add(chunks_bytes(now)), chunks_bytes(end) - chunks_bytes(now));
        }
    }
}

impl Chunk {
    /// The span that granule `granule` belongs to.
    #[inline]
    fn span_at(&self, granule: usize) -> NonNull<Span> {
        let head = self.heads[granule].load(ordering::span_heads()) as usize;
        let spans = self.spans.load(ordering::chunk_spans());
        // SAFETY: [CHUNK-SPANS] a chunk with a live block of a span has its
        // 64 spans, and heads are below 64.
        unsafe { NonNull::new_unchecked(spans.add(head)) }
    }

    /// The span that starts at granule `granule`, if one seems to.
    pub(crate) fn span_from(&self, granule: usize) -> Option<NonNull<Span>> {
        let head = self.heads[granule].load(ordering::span_heads());
        let spans = self.spans.load(ordering::chunk_spans());
        (usize::from(head) == granule && !spans.is_null()).then(|| self.span_at(granule))
    }

    /// Makes granules `first..first+len` one span.
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

/// Fetches the two lines of a span that will be looked at.
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

/// Publishes who owns a span, for frees to find: a copy of its heap.
pub(crate) fn publish_owner(body: &Body, owner: u32) {
    MAP.set(body.base, body.bytes() / GRANULE, entry_of(owner, u32::from(body.class)));
}

//! The constants of geometry: what sizes things have, and how many of them
//! there can be. `docs/geometry.md` shows them drawn to scale.

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Bytes of the smallest page that a system has.
pub(crate) const PAGE: usize = 4 << 10;

/// Bytes of a unit, in which page runs are counted and memory is purged. A
/// system's pages may be larger.
pub(crate) const UNIT: usize = PAGE;

/// log2 of the bytes of a granule.
pub(crate) const GRANULE_SHIFT: u32 = 15;
/// Bytes of a granule: the unit of spans and of the page map.
pub(crate) const GRANULE: usize = 1 << GRANULE_SHIFT;
/// Units of a granule.
pub(crate) const GRANULE_UNITS: usize = GRANULE / UNIT;
/// Granules of the largest span.
pub(crate) const SPAN_GRANULES: usize = 8;

/// log2 of the bytes of a chunk.
pub(crate) const CHUNK_SHIFT: u32 = 21;
/// Bytes of a chunk: a huge page.
pub(crate) const CHUNK: usize = 1 << CHUNK_SHIFT;
/// Granules of a chunk.
pub(crate) const CHUNK_GRANULES: usize = CHUNK / GRANULE;
/// Units of a chunk.
pub(crate) const CHUNK_UNITS: usize = CHUNK / UNIT;

/// Bytes of the window of addresses, where nothing limits it.
pub(crate) const WINDOW: usize = 1 << 40;
/// Bytes of the smallest window.
pub(crate) const WINDOW_MIN: usize = 1 << 28;
/// The window starts at a multiple of this: the largest alignment of blocks.
pub(crate) const WINDOW_ALIGN: usize = 1 << 30;
/// Bytes between the window and what the system maps by itself.
pub(crate) const WINDOW_GAP: usize = 64 << 30;
/// Chunks for which the tables of the page map are made readable at a time.
pub(crate) const TABLE_STEP: usize = 256;

/// Bytes of the largest small block.
pub(crate) const SMALL_MAX: usize = 32 << 10;
/// Bytes of the largest medium block.
pub(crate) const MEDIUM_MAX: usize = 1 << 20;

/// Bytes without access around metadata: the largest page that a system has.
pub(crate) const GUARD: usize = 64 << 10;
/// Bytes of the place of a thread cache.
pub(crate) const CACHE_BYTES: usize = PAGE;

/// Arenas in use at a time, at most.
pub(crate) const MAX_ARENAS: usize = 8;
/// Ids of the arenas' heaps are 1 up to and including this; those above are
/// threads' heaps.
pub(crate) const ARENA_IDS: u32 = 16;
/// Ids of heaps. A thread for which none is left has no cache.
pub(crate) const HEAP_IDS: usize = 32 << 10;

// One bit a granule of a chunk, and one a unit of a span, fit in a word.
const _: () = assert!(CHUNK_GRANULES == 64);
const _: () = assert!(SPAN_GRANULES * GRANULE_UNITS <= 64);
const _: () = assert!(SMALL_MAX <= GRANULE && MEDIUM_MAX < CHUNK);

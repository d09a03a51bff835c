//! The constants of geometry: the sizes of things and their maximum counts.
//! `docs/geometry.md` draws them to scale.

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Bytes of the smallest page of any supported system.
pub(crate) const PAGE: usize = 4 << 10;

/// Bytes of a unit. Page runs are counted and memory is purged in units. The
/// pages of the system may be larger.
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

/// The addresses of a process are divided into so many regions.
pub(crate) const REGIONS: usize = 128;
/// One part in so many of all addresses, at the start of each region, is an area for
/// tables.
pub(crate) const AREA_PART: usize = 2048;
/// The window starts at a multiple of this: the largest alignment of blocks.
pub(crate) const WINDOW_ALIGN: usize = 1 << 30;
/// The tables of the page map are made readable for this many chunks at a time.
pub(crate) const TABLE_STEP: usize = 2048;
/// The window grows by this many chunks at a time.
pub(crate) const STAGE: usize = 1 << 19;

/// Bytes of the largest small block.
pub(crate) const SMALL_MAX: usize = 32 << 10;
/// Bytes of the largest medium block.
pub(crate) const MEDIUM_MAX: usize = 1 << 20;

/// Bytes of the inaccessible guards around metadata: the largest page of any
/// supported system.
pub(crate) const GUARD: usize = 64 << 10;
/// Bytes of the memory of a thread cache.
pub(crate) const CACHE_BYTES: usize = PAGE;

/// Maximum number of arenas.
pub(crate) const MAX_ARENAS: usize = 64;
/// The heaps of arenas have the ids from 1 to this one, inclusive. The heaps
/// of threads have the ids above.
pub(crate) const ARENA_IDS: u32 = 64;
/// Number of heap ids. A thread that finds none free has no cache.
pub(crate) const HEAP_IDS: usize = 32 << 10;

// A word has a bit for each granule of a chunk or for each unit of a span.
const _: () = assert!(CHUNK_GRANULES == 64);
const _: () = assert!(MAX_ARENAS == ARENA_IDS as usize);
const _: () = assert!(SPAN_GRANULES * GRANULE_UNITS <= 64);
const _: () = assert!(SMALL_MAX <= GRANULE && MEDIUM_MAX < CHUNK);

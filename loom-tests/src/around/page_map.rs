//! Replaces the page map: one chunk, with one entry for each run of eight granules,
//! which is a span of the largest class.

use core::ptr::{self, NonNull};

use crate::base::geometry::{CHUNK, GRANULE_SHIFT, SPAN_GRANULES};
use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicU32};
use crate::current::Current;
use crate::spans::granules::Granules;
use crate::spans::span::{Body, Span};

/// The address of the chunk. It is not mapped: no block is ever touched.
pub(crate) const BASE: usize = 1 << 40;

/// Class byte of a granule in a chunk of page runs.
pub(crate) const MEDIUM: u32 = 253;
/// Class byte of a huge block.
pub(crate) const HUGE: u32 = 254;

/// The spans of the chunk, and the entry of each.
pub(crate) struct Chunk {
    pub(crate) spans: Vec<Span>,
    pub(crate) entries: Vec<AtomicU32>,
    pub(crate) granules: Granules,
    /// The shard, plus one.
    pub(crate) arena: AtomicU32,
    /// No class of the models has long bitmaps.
    pub(crate) long_bits: AtomicPtr<u64>,
}

impl Chunk {
    /// A chunk of so many spans, of whose granules none is free.
    pub(crate) fn new(spans: usize) -> Self {
        Chunk {
            spans: (0..spans).map(|_| Span::new()).collect(),
            entries: (0..spans).map(|_| AtomicU32::new(0)).collect(),
            granules: Granules::new(0),
            arena: AtomicU32::new(1),
            long_bits: AtomicPtr::new(ptr::dangling_mut()),
        }
    }

    /// The span of the granules from `first` on.
    pub(crate) fn set_span(&self, first: usize, _len: usize) -> NonNull<Span> {
        NonNull::from(&self.spans[first / SPAN_GRANULES])
    }
}

thread_local! {
    static CURRENT: Current<Chunk> = const { Current::none() };
}

/// Sets the chunk of this execution.
pub(crate) fn set(chunk: &Chunk) {
    CURRENT.with(|current| current.set(chunk));
}

fn chunk() -> &'static Chunk {
    CURRENT.with(Current::get)
}

pub(crate) struct Map;

pub(crate) static MAP: Map = Map;

fn index(ptr: *mut u8) -> usize {
    ((ptr.addr() - BASE) >> GRANULE_SHIFT) / SPAN_GRANULES
}

impl Map {
    pub(crate) fn entries(&self) -> Entries {
        Entries
    }

    pub(crate) fn entry(&self, ptr: *mut u8) -> u32 {
        Entries.of(ptr)
    }

    pub(crate) fn chunk(&self, _index: usize) -> &'static Chunk {
        chunk()
    }

    pub(crate) fn chunk_base(&self, index: usize) -> *mut u8 {
        ptr::without_provenance_mut(BASE + index * CHUNK)
    }

    pub(crate) fn chunk_index(&self, ptr: *mut u8) -> usize {
        (ptr.addr() - BASE) / CHUNK
    }

    pub(crate) fn used_chunks(&self) -> usize {
        1
    }
}

/// The entries; all threads have the same ones.
#[derive(Clone, Copy)]
pub(crate) struct Entries;

impl Entries {
    pub(crate) fn of(&self, ptr: *mut u8) -> u32 {
        chunk().entries[index(ptr)].load(ordering::map_entry())
    }
}

/// The owner in an entry.
pub(crate) fn owner(entry: u32) -> u32 {
    entry >> 8
}

/// The class in an entry.
pub(crate) fn kind(entry: u32) -> u32 {
    entry & 0xff
}

/// The span of a live block.
pub(crate) fn span_of(block: *mut u8) -> NonNull<Span> {
    NonNull::from(&chunk().spans[index(block)])
}

/// Publishes who owns a span.
pub(crate) fn publish_owner(body: &Body, owner: u32) {
    chunk().entries[index(body.base)]
        .store(owner << 8 | u32::from(body.class), ordering::map_entry());
}

/// Nothing to prefetch.
pub(crate) fn prefetch_span(_span: NonNull<Span>) {}

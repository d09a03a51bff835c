//! Replaces the page map: one chunk, with one entry for each run of eight granules,
//! which is a span of the largest class.

use core::ptr::NonNull;

use crate::base::geometry::{GRANULE_SHIFT, SPAN_GRANULES};
use crate::base::ordering;
use crate::base::sync::AtomicU32;
use crate::current::Current;
use crate::spans::span::{Body, Span};

/// The address of the chunk. It is not mapped: no block is ever touched.
pub(crate) const BASE: usize = 1 << 40;

/// The spans of the chunk, and the entry of each.
pub(crate) struct Chunk {
    pub(crate) spans: Vec<Span>,
    pub(crate) entries: Vec<AtomicU32>,
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

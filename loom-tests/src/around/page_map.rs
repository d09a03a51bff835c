//! Replaces the page map: one chunk, with one entry for each run of eight granules,
//! which is a span of the largest class.

use core::ptr::NonNull;

use crate::base::geometry::{GRANULE_SHIFT, SPAN_GRANULES};
use crate::base::ordering;
use crate::spans::span::{Body, Span};
use crate::world::world;

/// The address of the chunk. It is not mapped: no block is ever touched.
pub(crate) const BASE: usize = 1 << 40;

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
        world().entries[index(ptr)].load(ordering::map_entry())
    }
}

/// The owner in an entry.
pub(crate) fn owner(entry: u32) -> u32 {
    entry >> 8
}

/// The span of a live block.
pub(crate) fn span_of(block: *mut u8) -> NonNull<Span> {
    NonNull::from(&world().spans[index(block)])
}

/// Publishes who owns a span.
pub(crate) fn publish_owner(body: &Body, owner: u32) {
    world().entries[index(body.base)]
        .store(owner << 8 | u32::from(body.class), ordering::map_entry());
}

/// Nothing to prefetch.
pub(crate) fn prefetch_span(_span: NonNull<Span>) {}

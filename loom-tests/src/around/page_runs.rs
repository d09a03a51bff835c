//! Replaces page runs: there are none.

use crate::base::geometry::UNIT;
use crate::base::misuse::Report;
use crate::pages::address_space::Mapped;

pub(crate) struct PageRuns;

#[derive(Clone, Copy)]
pub(crate) struct Run;

pub(super) struct Dirty {
    pub(super) bytes: usize,
    pub(super) end: usize,
}

pub(crate) fn units(size: usize) -> usize {
    size.div_ceil(UNIT)
}

impl PageRuns {
    pub(crate) const fn new() -> Self {
        PageRuns
    }

    pub(crate) fn set_id(&self, _id: u32) {}

    pub(super) fn take_free_chunk(&self) -> Option<(usize, Dirty)> {
        None
    }

    pub(super) fn get(&self, _units: usize, _align: usize) -> Option<Option<Run>> {
        None
    }

    pub(super) fn add(&self, _mapped: Mapped) -> Option<()> {
        None
    }

    pub(super) fn put(&self, _ptr: *mut u8, _units: usize, _size: usize) -> Option<Result<(), Report>> {
        None
    }

    pub(crate) fn purge(&self, _chunk: usize, _page: usize) -> usize {
        unreachable!()
    }
}

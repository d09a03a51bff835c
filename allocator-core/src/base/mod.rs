//! What everything stands on: atomics and their orderings, locks, size classes, and the end of a process that misused its memory.

pub(crate) mod sync;
pub(crate) mod ordering;
pub(crate) mod bits;
pub(crate) mod geometry;
pub(crate) mod size_class;
pub(crate) mod misuse;
pub(crate) mod lock;
pub(crate) mod once;
pub(crate) mod published;

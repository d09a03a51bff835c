//! What the allocator says of itself: numbers, and what memory is held for.

pub(crate) mod stats;
mod residency;
pub(crate) mod explain;

//! Heaps: what spans belong to, and the queue on which other threads put an owner's blocks.

pub(crate) mod inbox;
pub(crate) mod home;
pub(crate) mod homes;

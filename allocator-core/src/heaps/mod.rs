//! Heaps: what spans belong to, and the queue on which other threads put an owner's blocks.

pub(crate) mod remote_queue;
pub(crate) mod heap;
pub(crate) mod heap_table;

//! Spans belong to heaps. This folder holds the heap, the queue on which other threads push its
//! blocks, what its owner counts, and the table of all heaps.

pub(crate) mod tally;
pub(crate) mod remote_queue;
pub(crate) mod heap;
pub(crate) mod orphaned_heap;
pub(crate) mod heap_table;

//! What crosses threads: blocks that are sent to the heap that owns them, blocks that are drawn
//! from a heap, and spans that move from one heap to another.

pub(crate) mod send;
pub(crate) mod take_from_heap;
pub(crate) mod span_transfer;
pub(crate) mod span_source;

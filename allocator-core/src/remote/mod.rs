//! What crosses threads: blocks that go to the heap that owns them, and spans that change heaps.

pub(crate) mod send;
pub(crate) mod span_transfer;
pub(crate) mod span_source;

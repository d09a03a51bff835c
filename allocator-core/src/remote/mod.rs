//! What crosses threads: blocks that go to the heap that owns them, and spans that change heaps.

pub(crate) mod mail;
pub(crate) mod moves;
pub(crate) mod supply;

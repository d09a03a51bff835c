//! Spans are runs of granules, cut into blocks of one class. This folder holds them, the granules
//! of a chunk, and the page map that leads from an address to its span.

pub(crate) mod granules;
pub(crate) mod tail;
pub(crate) mod standby;
pub(crate) mod span;
pub(crate) mod page_map;

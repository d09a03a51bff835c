//! Replaces the bins of a cache.

/// The place of one pointer.
pub(crate) type Slot = *mut u8;

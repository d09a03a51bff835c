//! Replaces the search for spans: there are none.

/// # Safety
/// None is needed.
pub(crate) unsafe fn take_shared(_shard: usize, _class: usize, _end: *mut *mut u8, _want: usize) -> usize {
    0
}

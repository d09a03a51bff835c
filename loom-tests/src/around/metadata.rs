//! Replaces the metadata allocator: batches, and records and places of caches.

use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::NonNull;
use std::alloc;

use crate::base::geometry::PAGE;
use crate::current::Current;

/// What was allocated in an execution.
#[derive(Default)]
pub(crate) struct Metadata {
    all: RefCell<Vec<(NonNull<u8>, Layout)>>,
}

impl Drop for Metadata {
    fn drop(&mut self) {
        for (at, layout) in self.all.take() {
            // SAFETY: it was allocated so, and no thread is left.
            unsafe { alloc::dealloc(at.as_ptr(), layout) };
        }
    }
}

thread_local! {
    static METADATA: Current<Metadata> = const { Current::none() };
}

/// Sets where the metadata of this execution is kept.
pub(crate) fn set(metadata: &Metadata) {
    METADATA.with(|current| current.set(metadata));
}

/// A fresh batch, or other memory that reads as zero.
pub(crate) fn alloc(size: usize) -> Option<NonNull<u8>> {
    let layout = Layout::from_size_align(size, PAGE).ok()?;
    // SAFETY: it has bytes.
    let at = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?;
    METADATA.with(Current::get).all.borrow_mut().push((at, layout));
    Some(at)
}

/// Does nothing: the world keeps it until it ends.
///
/// # Safety
/// The memory is not used any more.
pub(crate) unsafe fn free(_at: NonNull<u8>, _size: usize) {}

//! Replaces the metadata allocator: the files under test get only batches from it.

use core::cell::RefCell;
use core::ptr::NonNull;

use crate::current::Current;
use crate::heaps::remote_queue::Batch;

/// Boxed, as a batch must not move while pointers to it exist.
pub(crate) type Batches = RefCell<Vec<Box<Batch>>>;

thread_local! {
    static BATCHES: Current<Batches> = const { Current::none() };
}

/// Sets where the batches of this execution are kept.
pub(crate) fn set(batches: &Batches) {
    BATCHES.with(|current| current.set(batches));
}

/// A fresh batch.
pub(crate) fn alloc(size: usize) -> Option<NonNull<u8>> {
    assert_eq!(size, size_of::<Batch>());
    let mut batches = BATCHES.with(Current::get).borrow_mut();
    batches.push(Box::new(Batch::new()));
    Some(NonNull::from(&**batches.last()?).cast())
}

/// Does nothing: the world keeps its batches until it ends.
///
/// # Safety
/// The batch is not used any more.
pub(crate) unsafe fn free(_at: NonNull<u8>, _size: usize) {}

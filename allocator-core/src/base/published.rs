//! A slot of a table that other threads read without a lock. It is empty at first. Once a
//! record is published, the slot holds that record, for ever unless it is withdrawn; the
//! record itself stays. And the number of records at the beginning of a table.

use core::ptr;

use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicUsize};

#[repr(transparent)]
pub(crate) struct Published<T: 'static> {
    record: AtomicPtr<T>,
}

impl<T> Published<T> {
    pub(crate) const fn new() -> Self {
        Published { record: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The record, if it has been published.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        let record = self.record.load(ordering::published_get());
        // SAFETY: [HEAPS-STAY] a record published in a table is never freed.
        unsafe { record.as_ref() }
    }

    /// Puts a record into the slot, visible to all threads.
    pub(crate) fn publish(&self, record: &'static T) {
        self.record.store(ptr::from_ref(record).cast_mut(), ordering::published_set());
    }

    /// Empties the slot. Other threads may go on with the record.
    pub(crate) fn withdraw(&self) {
        self.record.store(ptr::null_mut(), ordering::published_withdrawn());
    }
}

/// How many records of a table there are, from the first on.
#[repr(transparent)]
pub(crate) struct PublishedCount {
    count: AtomicUsize,
}

impl PublishedCount {
    pub(crate) const fn new() -> Self {
        PublishedCount { count: AtomicUsize::new(0) }
    }

    /// Records that have been published.
    #[inline]
    pub(crate) fn get(&self) -> usize {
        self.count.load(ordering::published_get())
    }

    /// Publishes the first `count` records.
    pub(crate) fn publish(&self, count: usize) {
        self.count.store(count, ordering::published_set());
    }
}

//! A slot of a table that other threads read without a lock. It is empty at
//! first. Once a record is published, the slot holds that record forever.

use core::ptr;

use crate::base::ordering;
use crate::base::sync::AtomicPtr;

pub(crate) struct Published<T: 'static> {
    record: AtomicPtr<T>,
}

impl<T> Published<T> {
    #[cfg(not(strata_loom))]
    pub(crate) const fn new() -> Self {
        Published { record: AtomicPtr::new(ptr::null_mut()) }
    }

    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
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
}

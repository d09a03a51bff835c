//! A place in a table that others read without a lock: empty at first, then
//! for ever one record.

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

    /// The record, if it is here by now.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        let record = self.record.load(ordering::published_get());
        // SAFETY: [HEAPS-STAY] what is published in a table is never freed.
        unsafe { record.as_ref() }
    }

    /// Puts a record here, for all to see.
    pub(crate) fn publish(&self, record: &'static T) {
        self.record.store(ptr::from_ref(record).cast_mut(), ordering::published_set());
    }
}

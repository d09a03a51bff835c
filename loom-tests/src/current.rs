//! Parts of the execution of a model, in place of the allocator's statics.

use core::cell::Cell;
use core::ptr::NonNull;

/// A part of the current execution. It is kept in a `thread_local`, because loom runs
/// all threads of a model on one thread of the system.
pub(crate) struct Current<T: ?Sized + 'static>(Cell<Option<NonNull<T>>>);

impl<T: ?Sized> Current<T> {
    pub(crate) const fn none() -> Self {
        Current(Cell::new(None))
    }

    /// Sets the part for the execution that begins.
    pub(crate) fn set(&self, part: &T) {
        self.0.set(Some(NonNull::from(part)));
    }

    pub(crate) fn get(&self) -> &'static T {
        let part = self.0.get().expect("a part of an execution");
        // SAFETY: a model creates its world, which has all parts, before anything
        // else, and keeps it until its threads are joined.
        unsafe { part.as_ref() }
    }
}

//! Replaces the word of a thread.

use core::cell::Cell;
use core::ptr;

use crate::thread::cache::{Cache, NO_CACHE};

loom::thread_local! {
    static WORD: Cell<*const Cache> = Cell::new(&raw const NO_CACHE);
    /// Where the word is: on the thread's stack.
    static PLACE: Cell<usize> = Cell::new(0);
}

/// The calling thread gets this stack.
pub(crate) fn begin_at(place: usize) {
    PLACE.with(|it| it.set(place));
}

pub(crate) fn place() -> usize {
    PLACE.with(Cell::get)
}

pub(crate) fn get() -> *const Cache {
    WORD.with(Cell::get)
}

pub(crate) fn set(cache: &'static Cache) {
    WORD.with(|word| word.set(ptr::from_ref(cache)));
}

pub(super) fn profiled() -> *const Cache {
    unreachable!("no thread is profiled")
}

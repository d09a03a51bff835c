//! Replaces the list of nested slow paths: a model says what its threads are.

use core::cell::Cell;

loom::thread_local! {
    static NESTED: Cell<bool> = Cell::new(false);
}

/// The calling thread does `f` in a signal handler that interrupts a slow path.
pub(crate) fn run<R>(f: impl FnOnce() -> R) -> R {
    NESTED.with(|nested| nested.set(true));
    let result = f();
    NESTED.with(|nested| nested.set(false));
    result
}

/// A thread that begins or ends is in none.
pub(crate) fn forget() {}

/// Whether the calling thread is in such a handler.
pub(crate) fn is_here() -> bool {
    NESTED.with(Cell::get)
}

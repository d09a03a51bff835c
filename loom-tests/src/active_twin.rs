//! Broken twins: the same files with one weaker ordering, or with one step left out.
//! The twin is chosen when a model runs.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

/// What a twin changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weakness {
    /// The ordering of this label is weaker.
    Order(Ordering),
    /// The step of this label is left out.
    Step,
    /// The function or statement of this name is left out. Only in the instrumented
    /// copy that the `deletion` program makes.
    Deleted,
}

thread_local! {
    static ACTIVE: Cell<Option<(&'static str, Weakness)>> = const { Cell::new(None) };
}

/// Makes the models of this thread run with a twin.
pub(crate) fn activate(label: &str, weakness: Weakness) {
    ACTIVE.set(Some((label.to_owned().leak(), weakness)));
}

/// The ordering of a label in the active twin.
pub(crate) fn ordering(label: &'static str, order: Ordering) -> Ordering {
    match ACTIVE.get() {
        Some((name, Weakness::Order(weaker))) if name == label => weaker,
        _ => order,
    }
}

/// Whether a step is taken.
pub(crate) fn step(label: &'static str) -> bool {
    ACTIVE.get() != Some((label, Weakness::Step))
}

/// Whether a function or statement is left out. Only the instrumented copy calls it.
#[allow(dead_code, reason = "the files as they ship never call it")]
pub(crate) fn deleted(label: &'static str) -> bool {
    ACTIVE.get() == Some((label, Weakness::Deleted))
}

/// The next thread's token. Only whether two are equal matters, so they may differ
/// from one execution to the next.
static TOKENS: AtomicU32 = AtomicU32::new(1);

loom::thread_local! {
    static TOKEN: u32 = TOKENS.fetch_add(1, Ordering::Relaxed) % (1 << 30) + 1;
}

/// A number that identifies the calling thread of a model.
pub(crate) fn thread_token() -> u32 {
    TOKEN.with(|token| *token)
}

//! Broken twins: the same files with one weaker ordering, or with one step left out.
//! The twin is chosen when a model runs.

use core::cell::Cell;
use core::panic::Location;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::sites::{self, Site};

/// What a twin changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weakness {
    /// The ordering of this label is weaker, at one site or at all of them.
    Order(Ordering),
    /// The step of this label is left out.
    Step,
    /// The function or statement of this name is left out. Only in the instrumented
    /// copy that the `deletion` program makes.
    Deleted,
}

/// A file, a line and a column.
type Place = (&'static str, (u32, u32));

thread_local! {
    static ACTIVE: Cell<Option<(&'static str, Weakness)>> = const { Cell::new(None) };
    /// Where the ordering is weaker; `None`: everywhere.
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Makes the models of this thread run with a twin.
pub(crate) fn activate(label: &str, weakness: Weakness) {
    ACTIVE.set(Some((label.to_owned().leak(), weakness)));
    PLACE.set(None);
}

/// As [`activate`], with a weaker ordering at one site alone.
///
/// # Panics
/// If there is no such site in the files under test.
pub(crate) fn activate_at(site: &Site, weaker: Ordering) {
    activate(&site.label, Weakness::Order(weaker));
    PLACE.set(Some(sites::place(site).unwrap_or_else(|| panic!("no site `{site}`"))));
}

/// The ordering of a site in the active twin.
#[track_caller]
pub(crate) fn ordering(label: &'static str, order: Ordering) -> Ordering {
    let at = Location::caller();
    sites::reach(at);
    match ACTIVE.get() {
        Some((name, Weakness::Order(weaker))) if name == label => {
            let here = (at.file(), (at.line(), at.column()));
            if PLACE.get().is_none_or(|place| place == here) { weaker } else { order }
        }
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
    static TOKEN: Cell<u32> = Cell::new(TOKENS.fetch_add(1, Ordering::Relaxed) % (1 << 30) + 1);
}

/// A number that identifies the calling thread of a model.
pub(crate) fn thread_token() -> u32 {
    TOKEN.with(Cell::get)
}

/// The calling thread gets the token of one that has ended.
pub(crate) fn set_thread_token(token: u32) {
    TOKEN.with(|it| it.set(token));
}

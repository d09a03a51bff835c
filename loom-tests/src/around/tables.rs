//! Replaces the tables: those of one free-space index.

use core::ptr::NonNull;

use crate::base::sync::AtomicU64;
use crate::current::Current;

/// The words of the index, and its tops.
pub(crate) struct Tables(Vec<AtomicU64>);

impl Tables {
    /// So many words, and as many tops.
    pub(crate) fn new(words: usize) -> Self {
        Tables((0..2 * words).map(|_| AtomicU64::new(0)).collect())
    }

    /// Where the words are, and the tops.
    pub(crate) fn places(&self) -> [NonNull<u8>; 2] {
        [0, self.0.len() / 2].map(|at| NonNull::from(&self.0[at..]).cast())
    }
}

thread_local! {
    static TABLES: Current<Tables> = const { Current::none() };
}

/// Sets the tables of this execution.
pub(crate) fn set(tables: &Tables) {
    TABLES.with(|current| current.set(tables));
}

pub(super) fn indexes() -> Option<[NonNull<u8>; 2]> {
    Some(TABLES.with(Current::get).places())
}

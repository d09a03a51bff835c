//! Whether there is a helper, and who starts and ends it.
//!
//! ```text
//!            start                  begin_leaving
//!  NONE ──────────────► RUNNING ───────────────────► LEAVING
//!   ▲                     │ ▲       start, stay         │
//!   │        end          │ └───────────────────────────┤
//!   ├─────────────────────┘                             │
//!   └───────────────────────────────────────────────────┘
//!                            try_end
//! ```
//!
//! A helper that leaves is told so by whoever needs it again: one step decides whether it was
//! still there.

use crate::base::ordering;
use crate::base::sync::{self, AtomicU32};

/// There is no helper.
const NONE: u32 = 0;
/// There is one.
const RUNNING: u32 = 1;
/// There is one that ends unless it is needed again.
const LEAVING: u32 = 2;

pub(crate) struct HelperState {
    word: AtomicU32,
}

/// What [`HelperState::start`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// There is one, or another thread starts one.
    Runs,
    /// There is one that was leaving, and stays.
    Stays,
    /// It has begun.
    Began,
    /// It did not begin: there is none.
    Failed,
}

impl HelperState {
    pub(crate) const fn new() -> Self {
        HelperState { word: AtomicU32::new(NONE) }
    }

    /// Whether there is a helper that does not leave.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.word.load(ordering::helper_state()) == RUNNING
    }

    /// Has a helper run: one that leaves stays; if there is none, `begin` begins one, and says
    /// whether it did.
    pub(crate) fn start(&self, begin: impl FnOnce() -> bool) -> Start {
        if self.change(LEAVING, RUNNING) {
            return Start::Stays;
        }
        if !self.change(NONE, RUNNING) {
            return Start::Runs;
        }
        if begin() {
            return Start::Began;
        }
        if sync::step("helper_did_not_begin") {
            self.end();
        }
        Start::Failed
    }

    /// The helper ends unless it is needed again. Called by the helper, like all below.
    pub(crate) fn begin_leaving(&self) {
        self.word.swap(LEAVING, ordering::helper_state());
    }

    /// The helper does not leave.
    pub(crate) fn stay(&self) {
        self.word.swap(RUNNING, ordering::helper_state());
    }

    /// Ends the helper, unless it is needed again. Returns whether it ends.
    pub(crate) fn try_end(&self) -> bool {
        self.change(LEAVING, NONE)
    }

    /// Ends the helper, whoever needs it.
    pub(crate) fn end(&self) {
        self.word.swap(NONE, ordering::helper_state());
    }

    /// Changes the state in one step. Returns whether it was as expected.
    fn change(&self, from: u32, to: u32) -> bool {
        let (order, failed) = (ordering::helper_state(), ordering::helper_state());
        self.word.compare_exchange(from, to, order, failed).is_ok()
    }
}

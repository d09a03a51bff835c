//! Something that is done once, by whoever needs it first; the others wait.
//!
//! ```text
//!  NOT_YET ──► RUNNING ──► DONE
//!     ▲           │
//!     └─ failed ──┘         the next one tries again
//! ```

use crate::base::ordering;
use crate::base::sync::AtomicU32;
use crate::sys;

const NOT_YET: u32 = 0;
const RUNNING: u32 = 1;
const DONE: u32 = 2;

pub(crate) struct Once {
    state: AtomicU32,
}

/// Who did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// The caller, just now.
    ByUs,
    /// Another, before.
    ByOthers,
    /// Nobody: the caller tried and failed.
    Not,
}

impl Once {
    #[cfg(not(strata_loom))]
    pub(crate) const fn new() -> Self {
        Once { state: AtomicU32::new(NOT_YET) }
    }

    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        Once { state: AtomicU32::new(NOT_YET) }
    }

    /// Whether it is done: its results can be seen.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(ordering::init_seen()) == DONE
    }

    /// Has `work` done, which says whether it could be.
    pub(crate) fn run(&self, work: impl FnOnce() -> bool) -> Done {
        loop {
            match self.state.compare_exchange(
                NOT_YET,
                RUNNING,
                ordering::init_seen(),
                ordering::init_seen(),
            ) {
                Ok(_) => {
                    let done = work();
                    self.state.store(if done { DONE } else { NOT_YET }, ordering::init_done());
                    return if done { Done::ByUs } else { Done::Not };
                }
                Err(DONE) => return Done::ByOthers,
                Err(_) => sys::yield_now(),
            }
        }
    }
}

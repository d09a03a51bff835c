//! Work that the first thread to need it does once. The other threads wait. A signal
//! handler that interrupts the work does not wait for what it interrupted.
//!
//! ```text
//!  NOT_YET ──► token ──► DONE      token: of the thread that does it now
//!     ▲          │
//!     └─ failed ─┘                 the next thread tries again
//! ```

use crate::base::ordering;
use crate::base::sync::{self, AtomicU32};

const NOT_YET: u32 = 0;
const DONE: u32 = u32::MAX;

pub(crate) struct Once {
    state: AtomicU32,
}

/// Who did the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// The caller, just now.
    ByUs,
    /// Another thread, earlier.
    ByOthers,
    /// Nobody: the caller tried and failed, or interrupts the work.
    Not,
}

impl Once {
    pub(crate) const fn new() -> Self {
        Once { state: AtomicU32::new(NOT_YET) }
    }

    /// Returns whether the work is done and its results are visible.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(ordering::init_seen()) == DONE
    }

    /// Runs `work` unless it is done. `work` returns whether it succeeded.
    pub(crate) fn run(&self, work: impl FnOnce() -> bool) -> Done {
        let token = sync::thread_token();
        loop {
            match self.state.compare_exchange(
                NOT_YET,
                token,
                ordering::init_seen(),
                ordering::init_seen(),
            ) {
                Ok(_) => {
                    let done = work();
                    self.state.store(if done { DONE } else { NOT_YET }, ordering::init_done());
                    return if done { Done::ByUs } else { Done::Not };
                }
                Err(DONE) => return Done::ByOthers,
                Err(holder) if holder == token => return Done::Not,
                Err(holder) => sync::wait_briefly(&self.state, holder),
            }
        }
    }
}

//! What the magazines of a thread may hold: some bytes that are every
//! thread's, and more for threads that do much, lent from a sum for all of
//! them, within what the process may hold free at all.
//!
//! ```text
//!  │ own: 48 KiB │ lent: 64 KiB at a time              │
//!  ├─ charged: full magazines would hold so much ─┤
//! ```

use crate::pages::usage;

/// Bytes that any thread's magazines may hold.
const OWN: usize = 48 << 10;
/// Bytes lent at a time.
const STEP: usize = 64 << 10;

/// One thread's.
pub(super) struct Budget {
    /// Bytes that full magazines would hold.
    charged: usize,
    /// Bytes lent to the thread.
    lent: usize,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Budget { charged: 0, lent: 0 }
    }

    /// Whether magazines may hold `bytes` more.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.charged + bytes <= OWN + self.lent
    }

    /// As [`fits`](Self::fits), borrowing for it if that can be.
    pub(super) fn fit_or_borrow(&mut self, bytes: usize) -> bool {
        while !self.fits(bytes) {
            if !usage::lend(STEP, self.lent) {
                return false;
            }
            self.lent += STEP;
        }
        true
    }

    /// Whether no magazine may hold anything, and nothing is lent for any.
    pub(super) fn is_untouched(&self) -> bool {
        self.charged == 0 && self.lent == 0
    }

    /// Notes that magazines may hold `bytes` more.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.charged += bytes;
    }

    /// Notes that magazines may hold `bytes` less.
    pub(super) fn credit(&mut self, bytes: usize) {
        self.charged -= bytes;
    }

    /// Gives back what was lent and is not needed.
    pub(super) fn settle(&mut self) {
        let unused = self.lent.min((OWN + self.lent).saturating_sub(self.charged)) / STEP * STEP;
        if unused != 0 {
            self.lent -= unused;
            usage::repay(unused);
        }
    }
}

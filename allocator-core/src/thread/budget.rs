//! The budget of a thread: how many bytes of blocks its magazines may hold when
//! full. Every thread has 48 KiB. A busy thread borrows more from a sum that all
//! threads share, within the free memory that the process may hold at all. Every
//! 256 slow-path calls, it repays what it no longer needs.
//!
//! ```text
//!  │ own: 48 KiB │ lent: in steps of 64 KiB      │
//!  ├─ charged: what full magazines would hold ─┤
//! ```

use crate::pages::usage;

/// Bytes that the magazines of every thread may hold.
const OWN: usize = 48 << 10;
/// Bytes lent at a time.
const STEP: usize = 64 << 10;

/// \[OWNER-ONLY\] The budget of one thread.
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

    /// Like [`fits`](Self::fits), but borrows what is missing, if it can.
    pub(super) fn fit_or_borrow(&mut self, bytes: usize) -> bool {
        while !self.fits(bytes) {
            if !usage::lend(STEP, self.lent) {
                return false;
            }
            self.lent += STEP;
        }
        true
    }

    /// Whether nothing is charged and nothing is lent: there is no magazine.
    pub(super) fn is_untouched(&self) -> bool {
        self.charged == 0 && self.lent == 0
    }

    /// Whether no more than one step is lent.
    pub(super) fn is_small(&self) -> bool {
        self.lent <= STEP
    }

    /// Notes that magazines may hold `bytes` more.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.charged += bytes;
    }

    /// Notes that magazines may hold `bytes` less.
    pub(super) fn credit(&mut self, bytes: usize) {
        self.charged -= bytes;
    }

    /// In the child of a fork, for a thread that vanished: nothing is lent to it any more.
    pub(super) fn forget_loan(&mut self) {
        if self.lent != 0 {
            self.lent = 0;
        }
    }

    /// In the child of a fork, for a cache that is ended: nothing is compared with the budget
    /// any more. The thread may have vanished before it counted what it did.
    pub(super) fn forget(&mut self) {
        *self = Budget { charged: usize::MAX / 2, lent: 0 };
    }

    /// Bytes lent.
    pub(super) fn lent(&self) -> usize {
        self.lent
    }

    /// Repays what is lent and not needed.
    pub(super) fn settle(&mut self) {
        let unused = self.lent.min((OWN + self.lent).saturating_sub(self.charged)) / STEP * STEP;
        if unused != 0 {
            self.lent -= unused;
            usage::repay(unused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_its_own_part() {
        let mut budget = Budget::new();
        assert!(budget.is_untouched());
        assert!(budget.fits(OWN) && !budget.fits(OWN + 1));
        assert!(budget.fit_or_borrow(OWN) && budget.lent() == 0);
        budget.charge(OWN - 1);
        assert!(!budget.is_untouched());
        assert!(budget.fits(1) && !budget.fits(2));
        budget.credit(10);
        assert!(budget.fits(11) && !budget.fits(12));
        budget.forget();
        assert!(!budget.fits(0) && budget.lent() == 0);
    }

    #[test]
    fn to_a_thread_that_vanished_nothing_is_lent() {
        let mut budget = Budget::new();
        assert!(budget.fit_or_borrow(OWN + 1));
        budget.forget_loan();
        assert!(budget.is_untouched());
        usage::repay(STEP);
    }

    #[test]
    fn what_is_lent_and_not_needed_is_repaid() {
        let mut budget = Budget::new();
        assert!(budget.fit_or_borrow(OWN + STEP + 1));
        assert_eq!(budget.lent(), 2 * STEP);
        assert!(!budget.is_untouched());
        budget.charge(OWN + STEP + 1);
        budget.settle();
        assert_eq!(budget.lent(), 2 * STEP);
        budget.credit(1);
        budget.settle();
        assert_eq!(budget.lent(), STEP);
        budget.credit(STEP / 2);
        budget.settle();
        assert_eq!(budget.lent(), STEP);
        budget.credit(OWN + STEP / 2);
        budget.settle();
        assert!(budget.is_untouched());
    }

    #[test]
    fn a_thread_alone_gets_two_thirds_of_the_sum() {
        let mut budget = Budget::new();
        // The least that there is, of which no part is in use.
        let sum = 7 << 20;
        assert!(!budget.fit_or_borrow(sum));
        assert!(budget.lent().abs_diff(sum / 3 * 2) <= 2 * STEP, "{}", budget.lent());
        let lent = budget.lent();
        budget.charge(OWN + lent);
        budget.settle();
        assert_eq!(budget.lent(), lent);
        budget.credit(OWN + lent);
        budget.settle();
        assert_eq!(budget.lent(), 0);
    }
}

//! Caches in the child of a fork. The thread of a cache may have vanished at any point.
//! What it had in its magazines and its remote cache is still there, but for one magazine
//! that it was just changing; blocks that were on their way at that moment are lost. The cache
//! of a thread that ended without its hook is ended in the same way.

use crate::base::size_class::CLASSES;
use crate::base::sync;
use crate::pages::usage;
use crate::thread::cache::Cache;
use crate::thread::doubt::Doubt;

impl Cache {
    /// Records that the thread begins to change the magazine of a class.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn begin_change(&self, class: usize, oldest: usize) {
        // SAFETY: [OWNER-ONLY] by the caller.
        let doubt = unsafe { &mut self.owner().doubt };
        doubt.oldest = oldest;
        sync::in_order();
        doubt.class = class;
        sync::in_order();
    }

    /// Records that the magazine is consistent again.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn end_change(&self) {
        sync::in_order();
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe { self.owner() }.doubt.class = CLASSES;
        sync::in_order();
    }

    /// In the child of a fork, for a thread that vanished: drops what is in doubt. What
    /// was lent to the thread no longer is.
    ///
    /// # Safety
    /// \[OWNER-ONLY\] The thread vanished.
    pub(super) unsafe fn settle_vanished(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        let owner = unsafe { self.owner() };
        // Mostly there is none, and the page is not written to.
        if let Some(bin) = self.bins.get(owner.doubt.class) {
            match owner.doubt.oldest {
                Doubt::ALL => bin.unset_array(),
                oldest => bin.drop_oldest(oldest),
            }
            owner.doubt = Doubt::new();
        }
        owner.budget.forget_loan();
    }

    /// For a thread that ended without its hook: as [`settle_vanished`](Self::settle_vanished),
    /// and repays what was lent. The cache is to be ended next, by nobody else.
    ///
    /// # Safety
    /// \[OWNER-ONLY\] The thread has ended, and the calling thread sees all that it did.
    pub(super) unsafe fn settle_lost(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.owner().inside += 1;
            usage::repay(self.owner().budget.lent());
            self.settle_vanished();
        }
    }

    /// Bytes that left spans for the thread, and are not reported yet.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; in the child of a fork, any thread's.
    pub(super) unsafe fn unreported(&self) -> isize {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe { self.owner() }.flow.unreported()
    }

    /// Bytes lent to the thread.
    ///
    /// # Safety
    /// As for [`unreported`](Self::unreported).
    pub(super) unsafe fn lent(&self) -> usize {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe { self.owner() }.budget.lent()
    }

    /// Whether the thread is in a slow path.
    ///
    /// # Safety
    /// As for [`unreported`](Self::unreported).
    pub(super) unsafe fn is_inside(&self) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe { self.owner() }.inside != 0
    }
}

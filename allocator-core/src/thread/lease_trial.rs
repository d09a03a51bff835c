//! The trial of a class in a thread: should the thread lease spans for it, or
//! draw blocks from the shared spans of its arena? A leased span speeds up frees
//! by the thread itself. Where other threads free what this one allocates, and it
//! frees what they allocate, a lease is useless and costs one span a thread.
//!
//! So a class first draws 64 blocks, or 16 KiB, from shared spans. Then it leases
//! if the thread freed fewer than half as many meanwhile, or if four blocks that it
//! drew came back: one block at a time is tracked, by 16 bits of its address, until
//! this thread frees it. Otherwise the counts are halved, and the trial goes on. A
//! class that leases does so for good.

use crate::base::size_class;

/// Blocks of a class that a thread draws from shared spans before each decision:
/// so many, or so many bytes, whichever is less.
const TRIAL: usize = 64;
const TRIAL_BYTES: usize = 16 << 10;

/// Tracked blocks that must come back for a lease. Of 64 threads that share all their blocks,
/// one in nine sees two of its own again by chance.
const ENOUGH: u8 = 4;
/// Decisions that a tracked block may take to come back.
const PATIENCE: u8 = 4;

/// What is known about a class in a thread.
#[derive(Clone, Copy)]
pub(super) struct Trial {
    /// Blocks drawn from shared spans; [`Self::LEASES`] once the class leases.
    drawn: u8,
    /// Blocks freed that are not of spans that the thread leases.
    freed: u8,
    /// Tracked blocks that came back.
    came_back: u8,
    /// Decisions since tracking began.
    waited: u8,
    /// The tracked block: 16 bits of its address; 0 for none.
    block: u16,
}

impl Trial {
    const LEASES: u8 = u8::MAX;

    pub(crate) const fn new() -> Self {
        Trial { drawn: 0, freed: 0, came_back: 0, waited: 0, block: 0 }
    }

    fn tag(block: *mut u8) -> u16 {
        (block.addr() >> 4) as u16
    }

    /// Whether the thread should lease spans: it freed few blocks so far, or those
    /// that it freed were its own.
    pub(super) fn decide(&mut self, class: usize) -> bool {
        if self.leases() {
            return true;
        }
        if usize::from(self.drawn) < TRIAL.min(TRIAL_BYTES / size_class::size(class)) {
            return false;
        }
        if self.freed >= self.drawn / 2 && self.came_back < ENOUGH {
            self.drawn /= 2;
            self.freed /= 2;
            self.waited += 1;
            if self.waited == PATIENCE {
                (self.waited, self.came_back, self.block) = (0, 0, 0);
            }
            return false;
        }
        self.drawn = Self::LEASES;
        true
    }

    /// Whether the class leases.
    pub(super) fn leases(&self) -> bool {
        self.drawn == Self::LEASES
    }

    /// Blocks drawn from shared spans, while the class does not lease.
    pub(super) fn drawn(&self) -> usize {
        usize::from(self.drawn)
    }

    /// Counts blocks drawn from shared spans. Tracks the last, if none is tracked.
    pub(super) fn note_drawn(&mut self, blocks: &[*mut u8]) {
        let drawn = usize::from(self.drawn) + blocks.len();
        self.drawn = drawn.min(usize::from(Self::LEASES) - 1) as u8;
        if self.block == 0
            && let Some(&last) = blocks.last()
        {
            self.block = Self::tag(last);
        }
    }

    /// Counts a freed block that is not of a span that the thread leases.
    pub(crate) fn note_free(&mut self, block: *mut u8) {
        self.freed = self.freed.saturating_add(1);
        if self.block == Self::tag(block) {
            self.came_back = self.came_back.saturating_add(1);
            (self.block, self.waited) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::ptr;

    use super::*;

    const CLASS: usize = 3;

    fn block(n: usize) -> *mut u8 {
        ptr::without_provenance_mut(0x10_0000 + n * 16)
    }

    #[test]
    fn who_only_allocates_leases() {
        let mut trial = Trial::new();
        assert!(!trial.decide(CLASS));
        trial.note_drawn(&[block(1); TRIAL]);
        assert!(trial.decide(CLASS));
    }

    #[test]
    fn who_frees_its_own_leases() {
        let mut trial = Trial::new();
        for n in 0..TRIAL {
            trial.note_drawn(&[block(n)]);
            trial.note_free(block(n));
        }
        assert!(trial.decide(CLASS));
    }

    #[test]
    fn who_frees_what_others_drew_does_not() {
        let mut trial = Trial::new();
        for n in 0..100 * TRIAL {
            assert!(!trial.decide(CLASS), "after {n}");
            trial.note_drawn(&[block(2 * n)]);
            trial.note_free(block(2 * n + 1));
        }
        // A few blocks that come back may be chance.
        for _ in 1..ENOUGH {
            trial.note_drawn(&[block(0)]);
            trial.note_free(block(0));
            assert!(!trial.decide(CLASS));
        }
    }
}

//! Whether a class in a thread shall have spans of its own.

use crate::base::size_class;

/// Blocks of a class that a thread draws from the arena's spans before it is
/// decided whether it shall lease spans of its own: so many, or so many bytes.
const TRIAL: usize = 64;
const TRIAL_BYTES: usize = 16 << 10;

/// Blocks that came back, for a lease.
const ENOUGH: u8 = 2;
/// Decisions for which a block is waited for.
const PATIENCE: u8 = 4;

/// What is known of a class in a thread. A leased span makes frees fast that
/// the thread does itself; it is of no use, and costs a span for each thread,
/// where others free what it allocates, and it frees what others allocated.
/// Which of the two it is, one block after another is asked: whether it comes
/// back to this thread.
#[derive(Clone, Copy)]
pub(super) struct Trial {
    /// Blocks drawn from shared spans; `LEASES`: it is decided.
    drawn: u8,
    /// Blocks freed that were drawn from spans of others, or shared ones.
    freed: u8,
    /// Blocks asked that came back.
    came_back: u8,
    /// How often it was decided to wait since the block was asked.
    waited: u8,
    /// The block that is asked: as much of its address as fits; 0 for none.
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

    /// Whether the thread shall lease spans, by what it did so far: it frees
    /// little, or what it frees is its own.
    pub(super) fn decide(&mut self, class: usize) -> bool {
        if self.drawn == Self::LEASES {
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

    /// Blocks drawn from shared spans, as far as it is not decided.
    pub(super) fn drawn(&self) -> usize {
        usize::from(self.drawn)
    }

    /// Counts blocks drawn from shared spans, the last of which is asked.
    pub(super) fn note_drawn(&mut self, blocks: &[*mut u8]) {
        let drawn = usize::from(self.drawn) + blocks.len();
        self.drawn = drawn.min(usize::from(Self::LEASES) - 1) as u8;
        if self.block == 0
            && let Some(&last) = blocks.last()
        {
            self.block = Self::tag(last);
        }
    }

    /// Counts a block that is freed, and not of a span that the thread leased.
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
        // One block alone that comes back may be chance.
        trial.note_free(block(0));
        assert!(!trial.decide(CLASS));
    }
}

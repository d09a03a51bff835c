//! How large magazines are: from a few blocks at first to what the budget allows,
//! growing as they run empty and run over.

use core::ptr::{self, NonNull};

use crate::base::size_class::{self, CLASSES};
use crate::pages::metadata;
use crate::thread::bin::Slot;
use crate::thread::cache::{Cache, MAX_MAGAZINE_BLOCKS};

/// Most bytes of blocks in one magazine.
const MAX_MAGAZINE_BYTES: usize = 512 << 10;
/// A magazine grows to at most so many blocks because it ran empty; beyond
/// that only because it ran over.
pub(super) const REFILL: usize = 127;
/// Likewise in bytes, but at least one block.
const REFILL_BYTES: usize = 8 << 10;
/// The first magazine of a class: so many blocks, or so many bytes, whichever
/// is less.
const FIRST: usize = 3;
const FIRST_BYTES: usize = 2 << 10;
/// What it is filled with at first, in bytes.
const FIRST_FILL: usize = 64;
/// Magazines looked at for unused room at a time.
const MANY_LOOKS: usize = 24;
const FEW_LOOKS: usize = 4;

/// Where the room for a larger magazine may come from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// What is left of the budget, or not filled elsewhere.
    Unused,
    /// More of a budget: for threads that free as well as allocate.
    Borrowed,
    /// Others' larger magazines, the blocks above it put away.
    Shrunk,
}

impl Cache {
    /// Gives a class its first magazine, as large as may be. False if there
    /// is no room for any.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn first_magazine(&self, class: usize) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.resize(class, first_capacity(class), Source::Unused)
                || self.resize(class, 1, Source::Shrunk)
        }
    }

    /// Makes a magazine that ran over a larger one, if it ran empty since that
    /// last happened: what only ever comes is not wanted back. Says whether it
    /// could.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn grow(&self, class: usize) -> bool {
        let capacity = self.bins[class].capacity();
        let more = (capacity * 2 + 1).min(max_capacity(class));
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let wanted = self.owner().has_emptied(class);
            let grows = wanted
                && capacity != 0
                && more > capacity
                && self.resize(class, more, Source::Borrowed);
            if grows {
                self.owner().emptied[class / 64] &= !(1 << (class % 64));
            }
            grows
        }
    }

    /// Gives a magazine more capacity, keeping its blocks. False if the budget
    /// or the memory does not allow it.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn resize(&self, class: usize, capacity: usize, source: Source) -> bool {
        let bin = &self.bins[class];
        let old = bin.capacity();
        let size = size_class::size(class);
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let more = (capacity - old) * size;
            let fits = match source {
                Source::Unused => self.take_unused_capacity(class, more, FEW_LOOKS),
                Source::Borrowed => {
                    self.owner().budget.fit_or_borrow(more)
                        || self.take_unused_capacity(class, more, MANY_LOOKS)
                }
                Source::Shrunk => self.shrink_others(class, more),
            };
            if !fits {
                return false;
            }
            let (array, bytes) = bin.array();
            let needed = metadata::slot_bytes((capacity + 1) * size_of::<Slot>());
            if needed > bytes {
                let Some(new) = self.owner().tail.get(needed) else { return false };
                let new = new.as_ptr().cast::<Slot>();
                let len = bin.len();
                ptr::copy_nonoverlapping(bin.first(), new.add(1), len);
                bin.set_array(new, needed);
                bin.set_len(len);
                if let Some(array) = NonNull::new(array).filter(|_| bytes != 0) {
                    self.owner().tail.put(array.cast(), bytes);
                }
            }
            bin.set_capacity(capacity);
            self.owner().budget.charge(more);
            true
        }
    }

    /// Makes so many bytes of the budget free for a class, if others' magazines
    /// are not full. Says whether it could. What counts is then what magazines
    /// hold, not what each once held.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn take_unused_capacity(&self, class: usize, bytes: usize, looks: usize) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller.
        let owner = unsafe { self.owner() };
        for _ in 0..looks {
            if owner.budget.fits(bytes) {
                return true;
            }
            owner.victim = if owner.victim == 0 { CLASSES - 1 } else { owner.victim - 1 };
            let bin = &self.bins[owner.victim];
            // Half of it: there may be a burst under way.
            let unused = bin.unused() / 2;
            if unused != 0 && ![class, owner.filling].contains(&owner.victim) {
                bin.lower_capacity(unused);
                owner.budget.credit(unused * size_class::size(owner.victim));
            }
        }
        owner.budget.fits(bytes)
    }

    /// Makes so many bytes of the budget free for a class, if others' larger
    /// magazines can do with half. Says whether it could.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn shrink_others(&self, class: usize, bytes: usize) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            for _ in 0..CLASSES {
                if self.owner().budget.fits(bytes) {
                    return true;
                }
                let other = self.owner().victim;
                self.owner().victim = (other + 1) % CLASSES;
                let held = self.bins[other].capacity() * size_class::size(other);
                if other != class && held > 2 * bytes {
                    self.halve(other);
                }
            }
            self.owner().budget.fits(bytes)
        }
    }

    /// Gives up half of a magazine's capacity, and the blocks above it.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn halve(&self, class: usize) {
        let bin = &self.bins[class];
        let capacity = bin.capacity();
        let half = capacity / 2;
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            if half == 0 {
                return self.discard(class);
            }
            self.flush(class, bin.len().saturating_sub(half));
            bin.set_capacity(half);
            self.owner().budget.credit((capacity - half) * size_class::size(class));
        }
    }
}

/// At least a cache line of blocks, or as many lines as these fill evenly.
fn first_capacity(class: usize) -> usize {
    let group = size_class::line_group(class);
    let most = if group > FIRST { 2 * group - 1 } else { FIRST };
    (FIRST_BYTES / size_class::size(class)).clamp(1, most)
}

/// Blocks that a thread's first magazine of a class is filled with. Then it gets
/// as many as it had before: one that needs a few blocks should not lie scattered
/// among thousands that others like it got and do not use.
pub(super) fn first_fill(class: usize) -> usize {
    (FIRST_FILL / size_class::size(class)).clamp(size_class::line_group(class), REFILL)
}

pub(super) fn refill_capacity(class: usize) -> usize {
    (REFILL_BYTES / size_class::size(class)).clamp(1, REFILL).max(first_capacity(class))
}

pub(super) fn max_capacity(class: usize) -> usize {
    (MAX_MAGAZINE_BYTES / size_class::size(class)).clamp(1, MAX_MAGAZINE_BLOCKS)
}

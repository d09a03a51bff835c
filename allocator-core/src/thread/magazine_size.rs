//! How large magazines are. The first magazine of a class holds a few blocks. It
//! doubles each time that it runs empty, up to 127 blocks or 8 KiB. Beyond that it
//! doubles when it runs over, if it ran empty since it last did so, up to 8191
//! blocks or 512 KiB.
//!
//! The thread's budget is charged for what full magazines would hold. If it is
//! short, a magazine that ran empty takes capacity that other classes do not use,
//! one that ran over may also borrow, and a first one may halve larger magazines.

use core::ptr::{self, NonNull};

use crate::base::size_class::{self, CLASSES};
use crate::pages::metadata;
use crate::thread::bin::Slot;
use crate::thread::cache::{Cache, MAX_MAGAZINE_BLOCKS};
use crate::thread::doubt::Doubt;

/// Most bytes of blocks in one magazine.
const MAX_MAGAZINE_BYTES: usize = 512 << 10;
/// Most blocks to which a magazine grows because it ran empty; beyond that it
/// grows only because it ran over.
pub(super) const REFILL: usize = 127;
/// Likewise in bytes, but for one block at least.
const REFILL_BYTES: usize = 8 << 10;
/// Most blocks, and most bytes, of the first magazine of a class; but at least one
/// block, and more for classes whose blocks fill cache lines in groups.
const FIRST: usize = 3;
const FIRST_BYTES: usize = 2 << 10;
/// Bytes that the first refill takes from shared spans.
const FIRST_FILL: usize = 64;
/// Magazines that one search checks for unused capacity.
const MANY_LOOKS: usize = 24;
const FEW_LOOKS: usize = 4;

/// Where the budget for a larger magazine may come from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// What is left of it, and capacity that other classes do not use.
    Unused,
    /// Likewise, and a loan: for threads that free as well as allocate.
    Borrowed,
    /// Larger magazines of other classes, which are halved.
    Shrunk,
}

impl Cache {
    /// Gives a class its first magazine, as large as the budget allows. False if
    /// it allows none.
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

    /// Grows a magazine that ran over, if it ran empty since that last happened:
    /// blocks that only come in are not needed again. Returns whether it grew.
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

    /// Raises the capacity of a magazine, which keeps its blocks. False if the
    /// budget does not allow it, or there is no memory for the array.
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
                self.begin_change(class, Doubt::ALL);
                bin.set_array(new, needed);
                bin.set_len(len);
                if let Some(array) = NonNull::new(array).filter(|_| bytes != 0) {
                    self.owner().tail.put(array.cast(), bytes);
                }
            }
            bin.set_capacity(capacity);
            self.end_change();
            self.owner().budget.charge(more);
            true
        }
    }

    /// Halves the capacity of all magazines, and repays what is not needed then.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn halve_all(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            for class in 0..CLASSES {
                self.halve(class);
            }
            self.owner().budget.settle();
        }
    }

    /// Frees `bytes` of the budget for `class`, by lowering the capacity of other
    /// magazines that are not full. Returns whether that was enough. So the budget
    /// is spent on what magazines hold now, not on what each once held.
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
            // Only half of it: the class may be in the middle of a burst.
            let unused = bin.unused() / 2;
            if unused != 0 && ![class, owner.filling].contains(&owner.victim) {
                bin.lower_capacity(unused);
                owner.budget.credit(unused * size_class::size(owner.victim));
            }
        }
        owner.budget.fits(bytes)
    }

    /// Frees `bytes` of the budget for `class`, by halving other magazines that
    /// may hold more than twice as much. Returns whether that was enough.
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

    /// Halves the capacity of a magazine, and flushes the blocks above it.
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

/// Blocks in the first magazine of a class: at least a cache line of them, or as
/// many lines as they fill evenly.
fn first_capacity(class: usize) -> usize {
    let group = size_class::line_group(class);
    let most = if group > FIRST { 2 * group - 1 } else { FIRST };
    (FIRST_BYTES / size_class::size(class)).clamp(1, most)
}

/// Blocks that the first refill of a class takes from shared spans. Each later one
/// takes as many as were drawn before: the few blocks that a thread uses should not
/// lie scattered among thousands that similar threads took and do not use.
pub(super) fn first_fill(class: usize) -> usize {
    (FIRST_FILL / size_class::size(class)).clamp(size_class::line_group(class), REFILL)
}

/// Most blocks to which a magazine of a class grows because it ran empty.
pub(super) fn refill_capacity(class: usize) -> usize {
    (REFILL_BYTES / size_class::size(class)).clamp(1, REFILL).max(first_capacity(class))
}

/// Most blocks in a magazine of a class.
pub(super) fn max_capacity(class: usize) -> usize {
    (MAX_MAGAZINE_BYTES / size_class::size(class)).clamp(1, MAX_MAGAZINE_BLOCKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first magazine of a class, its first refill, and how large it gets.
    #[test]
    fn magazines_begin_small_and_grow() {
        for (bytes, first, fill, refilled, most) in [
            (16, 7, 4, 127, 8191),
            (64, 3, 1, 127, 8191),
            (112, 7, 4, 73, 4681),
            (1024, 2, 1, 8, 512),
            (4096, 1, 1, 2, 128),
            (32 << 10, 1, 1, 1, 16),
        ] {
            let class = size_class::of(bytes, 1);
            assert_eq!(size_class::size(class), bytes);
            let sizes = (first_capacity(class), first_fill(class));
            assert_eq!(sizes, (first, fill), "{bytes}");
            assert_eq!((refill_capacity(class), max_capacity(class)), (refilled, most), "{bytes}");
        }
    }
}

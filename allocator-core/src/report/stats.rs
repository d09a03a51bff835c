//! Statistics, read without allocating and without stopping other threads. For each
//! class, every heap counts the blocks that went out to threads, less those that it
//! saw come back, modulo 2^32. The sum over all heaps, less the blocks freed by
//! threads without a cache, is out; without those in magazines, it is live. The
//! other values are counters that the modules of `pages` keep.

use crate::base::size_class::{self, CLASSES};
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::committed;
use crate::pages::freed_huge;
use crate::pages::held_back;
use crate::pages::metadata;
use crate::pages::usage;
use crate::thread::registry;
use crate::thread::stock;

/// The counts of one size class, from [`Stats::classes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassStats {
    block_bytes: usize,
    live_blocks: usize,
    cached_blocks: usize,
}

impl ClassStats {
    /// The size of each block of the class, in bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// The number of blocks that the program holds.
    #[must_use]
    pub fn live_blocks(&self) -> usize {
        self.live_blocks
    }

    /// The number of free blocks in thread caches.
    #[must_use]
    pub fn cached_blocks(&self) -> usize {
        self.cached_blocks
    }
}

/// Statistics of the whole process, from [`Strata::stats`](crate::Strata::stats).
///
/// All values are counts of blocks or numbers of bytes. They are exact while no
/// other thread allocates or frees. Otherwise they are not a snapshot of one
/// moment: a count may be off by what other threads did while it was read, and
/// values may disagree with each other by as much. No count is ever negative or
/// wraps around.
#[derive(Clone, Debug)]
pub struct Stats {
    classes: [ClassStats; CLASSES],
    large_bytes: usize,
    huge_blocks: usize,
    huge_bytes: usize,
    cached_bytes: usize,
    mapped_bytes: usize,
    committed_bytes: usize,
    free_bytes: usize,
    purged_bytes: usize,
    metadata_bytes: usize,
}

impl Stats {
    /// The size classes, smallest first. They serve requests up to 32 KiB. The
    /// number of classes and their sizes may change between versions.
    #[must_use]
    pub fn classes(&self) -> &[ClassStats] {
        &self.classes
    }

    /// Bytes of all blocks that the program holds, rounded up as the allocator
    /// rounds them: to a size class up to 32 KiB, to whole pages above.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.classes.iter().map(|class| class.live_blocks * class.block_bytes).sum::<usize>()
            + self.large_bytes
    }

    /// Bytes of the blocks that the program holds and no size class serves:
    /// those larger than 32 KiB or aligned to more, huge ones included.
    #[must_use]
    pub fn large_bytes(&self) -> usize {
        self.large_bytes
    }

    /// The number of huge blocks that the program holds: those that are larger
    /// than 1 MiB or aligned to more than that.
    #[must_use]
    pub fn huge_blocks(&self) -> usize {
        self.huge_blocks
    }

    /// Bytes of the huge blocks. [`Stats::large_bytes`] includes them.
    #[must_use]
    pub fn huge_bytes(&self) -> usize {
        self.huge_bytes
    }

    /// Bytes of the free blocks in thread caches.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// Bytes of address space that is mapped for blocks.
    #[must_use]
    pub fn mapped_bytes(&self) -> usize {
        self.mapped_bytes
    }

    /// Bytes that may hold physical memory for blocks: those in use, and free
    /// ones that were not returned to the system yet. The limits
    /// ([`Config::limit`](crate::Config::limit),
    /// [`Config::hard_limit`](crate::Config::hard_limit)) apply to this value.
    /// The allocator's own tables ([`Stats::metadata_bytes`]) are not included.
    #[must_use]
    pub fn committed_bytes(&self) -> usize {
        self.committed_bytes
    }

    /// The part of [`Stats::committed_bytes`] that no block uses, in units that
    /// can be returned to the system. Free blocks between live ones, and those in
    /// thread caches, are not included.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// Bytes returned to the system by purging since the process started.
    #[must_use]
    pub fn purged_bytes(&self) -> usize {
        self.purged_bytes
    }

    /// Bytes of the allocator's own tables and records that are in use.
    #[must_use]
    pub fn metadata_bytes(&self) -> usize {
        self.metadata_bytes
    }
}

/// A number of blocks, from counts modulo 2^32. If these change while they are
/// read, it may come out a little below 0: then it is 0.
fn not_below_0(blocks: u32) -> usize {
    const LITTLE: u32 = 1 << 24;
    if blocks > u32::MAX - LITTLE { 0 } else { blocks as usize }
}

/// Reads all values.
pub(crate) fn read() -> Stats {
    let classes = core::array::from_fn(|class| {
        let cached = registry::cached(class) + stock::cached(class);
        let out = arena::all()
            .iter()
            .map(|arena| arena.heap.out(class))
            .chain(registry::heaps().map(|heap| heap.out(class)))
            .fold(0, u32::wrapping_add)
            .wrapping_sub(registry::returned(class));
        ClassStats {
            block_bytes: size_class::size(class),
            live_blocks: not_below_0(out.wrapping_sub(cached as u32)),
            cached_blocks: cached,
        }
    });
    let cached_bytes = classes.iter().map(|c: &ClassStats| c.cached_blocks * c.block_bytes).sum();
    // Read before the committed bytes, which include it.
    let free = usage::dirty();
    let (huge_blocks, huge_bytes) = freed_huge::held();
    let (held_back, held_back_bytes) = held_back::held();
    Stats {
        classes,
        large_bytes: usage::large().saturating_sub(held_back_bytes),
        huge_blocks: huge_blocks.saturating_sub(held_back),
        huge_bytes: huge_bytes.saturating_sub(held_back_bytes),
        cached_bytes,
        mapped_bytes: address_space::mapped(),
        committed_bytes: committed::bytes().max(free),
        free_bytes: free,
        purged_bytes: usage::purged(),
        metadata_bytes: metadata::used(),
    }
}

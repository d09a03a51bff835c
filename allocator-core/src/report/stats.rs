//! What the allocator knows of itself, read without allocating and without
//! stopping anybody.

use crate::base::size_class::{self, CLASSES};
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::committed;
use crate::pages::huge_block;
use crate::pages::metadata;
use crate::pages::usage;
use crate::thread::registry;

/// One size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Blocks that the program holds.
    pub live_blocks: usize,
    /// Free blocks in the magazines of threads.
    pub cached_blocks: usize,
}

/// Numbers about the whole process. Exact while no other thread allocates or
/// frees; otherwise each lies within what the magazines hold of the truth.
#[derive(Clone, Copy, Debug)]
pub struct Stats {
    /// The small size classes, smallest first.
    pub classes: [ClassStats; CLASSES],
    /// Bytes of blocks above 32 KiB that the program holds.
    pub large_bytes: usize,
    /// Blocks above 1 MiB, or aligned to more, that the program holds.
    pub huge_blocks: usize,
    /// Their bytes, which `large_bytes` contains.
    pub huge_bytes: usize,
    /// Bytes of free blocks in the magazines of threads.
    pub cached_bytes: usize,
    /// Bytes of addresses mapped for blocks.
    pub mapped_bytes: usize,
    /// Bytes that may hold physical memory for blocks: in use, or free and not
    /// given back yet.
    pub committed_bytes: usize,
    /// Of the committed bytes, those that are free as whole granules or pages.
    pub free_bytes: usize,
    /// Bytes given back to the system by purging, since the start.
    pub purged_bytes: usize,
    /// Bytes of tables and records that are in use.
    pub metadata_bytes: usize,
}

impl Stats {
    /// Bytes of all blocks that the program holds, as the allocator rounds them.
    pub fn live_bytes(&self) -> usize {
        self.classes.iter().map(|class| class.live_blocks * class.block_bytes).sum::<usize>()
            + self.large_bytes
    }
}

/// A number of blocks, counted modulo 2^32. Counts that change while they are
/// read may come out a little below 0.
fn not_below_0(blocks: u32) -> usize {
    const LITTLE: u32 = 1 << 24;
    if blocks > u32::MAX - LITTLE { 0 } else { blocks as usize }
}

/// Reads all numbers.
pub(crate) fn read() -> Stats {
    let classes = core::array::from_fn(|class| {
        let cached = registry::cached(class);
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
    // Read first: all that is free is committed.
    let free = usage::dirty();
    let (huge_blocks, huge_bytes) = huge_block::held();
    Stats {
        classes,
        large_bytes: usage::large(),
        huge_blocks,
        huge_bytes,
        cached_bytes,
        mapped_bytes: address_space::mapped(),
        committed_bytes: committed::bytes().max(free),
        free_bytes: free,
        purged_bytes: usage::purged(),
        metadata_bytes: metadata::used(),
    }
}

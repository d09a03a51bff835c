//! False sharing: threads write small blocks again and again. They are slow if
//! the allocator gives different threads blocks in the same cache line.

use std::sync::Mutex;

use super::block::Block;
use super::parts::{fold, scaled, team};

const SIZE: usize = 8;
/// Blocks that a thread allocates one after another.
const BLOCKS: u64 = 2_000;
/// Writes to each.
const WRITES: u64 = 600_000;

fn write(mut block: Block, writes: u64) -> u64 {
    for _ in 0..writes {
        block.bump();
    }
    block.sum()
}

fn own(thread: usize, writes: u64) -> u64 {
    let blocks = (0..BLOCKS).map(|n| Block::new(SIZE, n << 8 | thread as u64));
    blocks.fold(0, |sum, block| fold(sum, write(block, writes)))
}

/// Active: the allocator splits a cache line between threads when they
/// allocate.
pub(crate) fn thrash(threads: usize, scale: f64) -> u64 {
    let writes = scaled(WRITES, scale);
    team(threads, |thread| own(thread, writes))
}

/// Passive: one thread allocates adjacent blocks, one for each thread. Each
/// frees the block it was given; the allocator may give it to that thread
/// again.
pub(crate) fn scratch(threads: usize, scale: f64) -> u64 {
    let writes = scaled(WRITES, scale);
    let given: Vec<_> =
        (0..threads).map(|n| Mutex::new(Some(Block::new(SIZE, n as u64)))).collect();
    team(threads, |thread| {
        let given = given[thread].lock().unwrap().take();
        let inherited = given.map_or(0, |block| write(block, writes));
        fold(inherited, own(thread, writes))
    })
}

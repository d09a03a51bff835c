//! Each thread allocates many blocks of one size, then frees them all,
//! repeatedly.

use super::block::Block;
use super::parts::{fold, scaled, team};

const SIZE: usize = 64;
/// Blocks of a thread at a time.
const BLOCKS: u64 = 10_000;
/// Rounds of all threads together.
const ROUNDS: u64 = 6_000;

/// This many threads.
pub(crate) fn run(threads: usize, scale: f64) -> u64 {
    let rounds = scaled(ROUNDS / threads as u64, scale);
    team(threads, |thread| {
        let mut blocks = Vec::with_capacity(BLOCKS as usize);
        let mut sum = 0;
        for round in 0..rounds {
            let stamp = round << 32 | (thread as u64) << 24;
            blocks.extend((0..BLOCKS).map(|n| Block::new(SIZE, stamp | n)));
            for block in blocks.drain(..) {
                sum = fold(sum, block.sum());
            }
        }
        sum
    })
}

//! Runs of blocks of one size: all blocks of a run are allocated and then
//! freed, alternately in order and in reverse; for small and large runs and
//! sizes.

use super::block::Block;
use super::parts::{fold, scaled, team};

const SIZES: [usize; 8] = [8, 16, 32, 64, 128, 256, 512, 1_024];
const RUNS: [u64; 5] = [1, 25, 100, 400, 1_600];
/// Blocks of each size in runs of each length, of all threads together.
const BLOCKS: u64 = 1_200_000;

/// This many threads.
pub(crate) fn run(threads: usize, scale: f64) -> u64 {
    let each = scaled(BLOCKS / threads as u64, scale);
    team(threads, |thread| {
        let mut blocks = Vec::new();
        let mut sum = 0;
        for size in SIZES {
            for run in RUNS {
                for turn in 0..each.div_ceil(run) {
                    let stamp = turn << 32 | (thread as u64) << 24;
                    blocks.extend((0..run).map(|n| Block::new(size, stamp | n)));
                    if turn % 2 == 0 {
                        blocks.drain(..).for_each(|block| sum = fold(sum, block.sum()));
                    } else {
                        blocks.drain(..).rev().for_each(|block| sum = fold(sum, block.sum()));
                    }
                }
            }
        }
        sum
    })
}

//! Bursts of mixed sizes, small ones more often, with mixed lifetimes: whenever
//! the window is full, the youngest third is freed in reverse, the oldest third
//! in order, and a third is kept.

use fastrand::Rng;

use super::block::Block;
use super::parts::{fold, product, scaled, share, team};

const LARGEST: usize = 1_000;
/// Maximum number of live blocks.
const WINDOW: usize = 1_500;
/// Bursts of all threads together.
const BURSTS: u64 = 240_000;

/// A burst: several blocks of one size; one in sixteen grows after allocation.
fn burst(rng: &mut Rng, window: &mut Vec<Block>) {
    let (random, count) = (rng.u32(..), rng.usize(16..=128));
    // The cube of a uniform draw: half of the sizes are below an eighth.
    let cube = product(product(random, random), random);
    let size = 8 + share(cube, LARGEST);
    for _ in 0..count {
        let stamp = rng.u64(..);
        let block = Block::new(size, stamp);
        window.push(if stamp.is_multiple_of(16) { block.resized(2 * size) } else { block });
    }
}

/// This many threads, each with its own window.
pub(crate) fn run(threads: usize, scale: f64) -> u64 {
    let bursts = scaled(BURSTS / threads as u64, scale);
    team(threads, |thread| {
        let mut rng = Rng::with_seed(500 + thread as u64);
        let mut window: Vec<Block> = Vec::new();
        let mut sum = 0;
        for _ in 0..bursts {
            burst(&mut rng, &mut window);
            if window.len() >= WINDOW {
                let third = window.len() / 3;
                for block in window.drain(2 * third..).rev() {
                    sum = fold(sum, block.sum());
                }
                for block in window.drain(..third) {
                    sum = fold(sum, block.sum());
                }
            }
        }
        window.iter().fold(sum, |sum, block| fold(sum, block.sum()))
    })
}

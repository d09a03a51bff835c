//! Random replacement in a large array: each size is half as frequent as half
//! that size, and some slots are used far more often than others. Each block is
//! fully written, and read when it is freed.

use fastrand::Rng;

use super::block::Block;
use super::parts::{fold, product, scaled, share, team};

/// Slots of all threads together.
const SLOTS: usize = 1 << 18;
const SMALLEST: u64 = 16;
const LARGEST: u64 = 64 << 10;
/// Steps of all threads together.
const STEPS: u64 = 8_000_000;

/// `SMALLEST` over a uniform draw, up to `LARGEST`.
fn size(random: u32) -> usize {
    ((SMALLEST << 32) / (u64::from(random) + 1)).clamp(SMALLEST, LARGEST) as usize
}

/// This many threads, each with its part of the array.
pub(crate) fn run(threads: usize, scale: f64) -> u64 {
    let steps = scaled(STEPS / threads as u64, scale);
    team(threads, |thread| {
        let mut rng = Rng::with_seed(600 + thread as u64);
        let mut slots: Vec<Option<Block>> = (0..SLOTS / threads).map(|_| None).collect();
        let mut sum = 0;
        for _ in 0..steps {
            let random = rng.u32(..);
            // The square of a uniform draw.
            let slot = &mut slots[share(product(random, random), SLOTS / threads)];
            match slot.take() {
                Some(block) => sum = fold(sum, block.sum_all()),
                None => *slot = Some(Block::filled(size(rng.u32(..)), rng.u64(..))),
            }
        }
        slots.iter().flatten().fold(sum, |sum, block| fold(sum, block.sum_all()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubling_of_the_size_halves_the_number() {
        let mut rng = Rng::with_seed(1);
        let sizes: Vec<usize> = (0..100_000).map(|_| size(rng.u32(..))).collect();
        let above = |bound: usize| sizes.iter().filter(|size| **size >= bound).count();
        assert_eq!(above(16), 100_000);
        assert!((48_000..52_000).contains(&above(32)), "{}", above(32));
        assert!((5_700..6_800).contains(&above(256)), "{}", above(256));
        assert!(sizes.iter().all(|size| *size <= 64 << 10));
    }
}

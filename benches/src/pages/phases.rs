//! A program that goes from one size to the next: memory of the last one has to
//! serve the next one.

use std::time::Instant;

use super::run::{Run, Values, peak};
use crate::probes::block::{Block, Places};

/// What is live in each phase.
const LIVE: usize = 200 << 20;
/// The sizes: small, medium and large for most allocators.
const SIZES: [usize; 12] = [
    64,
    160,
    448,
    1280,
    3 << 10,
    8 << 10,
    20 << 10,
    56 << 10,
    150_000,
    400 << 10,
    1_200_000,
    3 << 20,
];

/// All blocks of one size are allocated, written and freed, then of the next.
pub(super) fn phases(run: &Run) -> Values {
    let live = run.scaled(LIVE);
    // One table for all, so that the same part of each peak is its own.
    let most = live / SIZES[0];
    let mut places = Places::new(most);
    let start = Instant::now();
    for size in SIZES {
        let count = (live / size).max(1);
        places[..count].fill_with(|| Some(Block::new(size)));
        places[..count].fill_with(|| None);
    }
    let seconds = start.elapsed().as_secs_f64();
    let peak = peak() - Places::bytes(most) as f64;
    vec![Some(peak / live as f64), Some(seconds)]
}

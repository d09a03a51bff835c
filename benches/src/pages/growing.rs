//! A heap that only grows.

use std::ops::Range;
use std::time::Instant;

use fastrand::Rng;

use super::run::{Run, Values, faults, peak};
use super::sizes::doubling;
use crate::probes::block::{Block, Places};

/// What is live at the end.
const LIVE: usize = 1 << 30;
const STEPS: usize = 16;
/// The sizes of a step, and of the next ones.
const SIZES: [Range<usize>; 4] = [32..1 << 10, 1 << 10..32 << 10, 32 << 10..1 << 20, 48..512];

/// Each step adds blocks of other sizes, and nothing is freed.
pub(super) fn grow(run: &Run) -> Values {
    let mut rng = Rng::with_seed(350);
    let step = run.scaled(LIVE) / STEPS;
    let mut places = Places::new(STEPS * (step / SIZES[0].start + 1));
    let (mut count, mut live) = (0, 0);
    let (start, before) = (Instant::now(), faults());
    for sizes in SIZES.iter().cycle().take(STEPS) {
        let mut left = step;
        while left > 0 {
            let size = doubling(&mut rng, sizes);
            places[count] = Some(Block::new(size));
            (count, live) = (count + 1, live + size);
            left = left.saturating_sub(size);
        }
    }
    let (seconds, faults) = (start.elapsed().as_secs_f64(), faults() - before);
    let peak = peak() - Places::bytes(count) as f64;
    vec![Some(peak / live as f64), Some(faults), Some(seconds)]
}

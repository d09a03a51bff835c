//! Blocks that stay, among many that do not.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::run::{Run, Values, peak, resident};
use super::sizes::doubling;
use crate::probes::block::{Block, Places};

/// What stays.
const LIVE: usize = 64 << 20;
/// One block in so many stays.
const STAYS: usize = 32;
/// Blocks that do not.
const SHORT: usize = 20_000;
const SIZES: Range<usize> = 16..4096;
const IDLE: Duration = Duration::from_secs(1);

/// A random one of the short lives ends for each block. In the end, all end.
pub(super) fn lives(run: &Run) -> Values {
    let mut rng = Rng::with_seed(360);
    let most = run.scaled(LIVE);
    let mut short = Places::new(SHORT);
    let mut long = Places::new(most / SIZES.start + 1);
    let (mut count, mut live) = (0, 0);
    let start = Instant::now();
    while live < most {
        let size = doubling(&mut rng, &SIZES);
        let block = Some(Block::new(size));
        if rng.usize(..STAYS) == 0 {
            long[count] = block;
            (count, live) = (count + 1, live + size);
        } else {
            short[rng.usize(..SHORT)] = block;
        }
    }
    short.fill_with(|| None);
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(IDLE.min(run.watch));
    let tables = (Places::bytes(count) + Places::bytes(SHORT)) as f64;
    let share = |bytes: f64| Some((bytes - tables) / live as f64);
    vec![share(resident()), share(peak()), Some(seconds)]
}

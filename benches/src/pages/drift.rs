//! A program whose blocks become larger over time, while what is live stays the
//! same.

use std::time::Instant;

use fastrand::Rng;

use super::run::{Run, Values, peak, resident};
use crate::probes::block::{Block, Places};

const LIVE: usize = 64 << 20;
/// The mean size at the start.
const FIRST: f64 = 32.0;
/// How often the mean size doubles: to 32 KiB.
const DOUBLINGS: f64 = 10.0;
/// How often what is live is replaced while the mean size doubles once.
const TURNS: f64 = 24.0;
/// The mean size changes each time that so much was allocated.
const STEP: usize = 1 << 20;

/// Random blocks are freed to make room for each new one.
pub(super) fn drift(run: &Run) -> Values {
    let mut rng = Rng::with_seed(320);
    // A block has at least half of the mean size.
    let mut places = Places::new(2 * LIVE / FIRST as usize);
    let (mut count, mut most, mut live) = (0, 0, 0);
    let steps = (LIVE / STEP) as f64 * DOUBLINGS * TURNS * run.scale;
    let start = Instant::now();
    for step in 0..steps as usize {
        let mean = FIRST * (DOUBLINGS * step as f64 / steps).exp2();
        let mut left = STEP;
        while left > 0 {
            let size = (mean * (0.5 + rng.f64())) as usize;
            while live + size > LIVE {
                places.swap(rng.usize(..count), count - 1);
                count -= 1;
                live -= places[count].take().map_or(0, |block| block.size());
            }
            places[count] = Some(Block::new(size));
            (count, live) = (count + 1, live + size);
            most = count.max(most);
            left = left.saturating_sub(size);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    // The table has its pages to the end.
    let share = |bytes: f64| Some((bytes - Places::bytes(most) as f64) / live as f64);
    let values = vec![share(resident()), share(peak()), Some(seconds)];
    places.fill_with(|| None);
    values
}

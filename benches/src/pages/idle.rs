//! A peak, after which the program does nothing.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::run::{Run, Values, mib, peak, resident};
use super::sizes::doubling;
use crate::probes::block::{Block, Places};

const PEAK: usize = 2 << 30;
const SIZES: Range<usize> = 1 << 10..1 << 20;
const IDLE: Duration = Duration::from_secs(1);

/// Fills and frees the memory, sleeps, and reads.
pub(super) fn idle(run: &Run) -> Values {
    let (mut rng, start) = (Rng::with_seed(340), resident());
    let mut left = run.scaled(PEAK);
    let mut places = Places::new(left / SIZES.start + 1);
    for place in places.iter_mut() {
        let size = doubling(&mut rng, &SIZES);
        *place = Some(Block::new(size));
        left = left.saturating_sub(size);
        if left == 0 {
            break;
        }
    }
    for place in places.iter_mut().take_while(|place| place.is_some()) {
        *place = None;
    }
    drop(places);
    thread::sleep(IDLE.min(run.watch));
    vec![Some(mib(resident() - start)), Some(mib(peak()))]
}

//! Random replacement in a live set of blocks of 16 to 256 bytes.

use std::sync::{Barrier, Mutex};

use super::block::Block;
use super::outcome::{Outcome, passes, scaled};
use super::team::team;

pub(super) struct Churn {
    slots: Vec<Block>,
    rng: fastrand::Rng,
}

impl Churn {
    pub(super) fn new(live: usize, seed: u64) -> Churn {
        let mut rng = fastrand::Rng::with_seed(seed);
        Churn { slots: (0..live).map(|_| Block::new(rng.usize(16..=256))).collect(), rng }
    }

    pub(super) fn run(&mut self, ops: u64) {
        for _ in 0..ops {
            let slot = self.rng.usize(..self.slots.len());
            self.slots[slot] = Block::new(self.rng.usize(16..=256));
        }
    }
}

/// One thread with `live` blocks.
pub(crate) fn one(scale: f64, live: usize) -> Outcome {
    let ops = scaled(2_000_000, scale);
    let mut churn = Churn::new(live, 2);
    passes(ops, || churn.run(ops))
}

/// Two threads, each with 100,000 blocks of its own.
pub(crate) fn two(scale: f64) -> Outcome {
    let ops = scaled(2_000_000, scale);
    team(2, 2 * ops, |thread| Churn::new(100_000, 3 + thread as u64), |_, churn| churn.run(ops))
}

/// An array that changes hands. No cache line of it is part of the next one, nor
/// is the line after, which the processor may load with it.
#[repr(align(128))]
struct Desk(Mutex<Churn>);

/// Two threads that swap their arrays after every generation, so that blocks
/// allocated by one are freed by the other.
pub(crate) fn larson(scale: f64) -> Outcome {
    const LIVE: usize = 5_000;
    const GENERATION: u64 = 50_000;
    let generations = scaled(20, scale);
    let desks = [5, 6].map(|seed| Desk(Mutex::new(Churn::new(LIVE, seed))));
    let turn = Barrier::new(2);
    team(
        2,
        2 * generations * GENERATION,
        |_| (),
        |thread, ()| {
            for generation in 0..generations {
                let Desk(desk) = &desks[(thread + generation as usize) % 2];
                // Never contended: the barrier separates the generations.
                desk.lock().unwrap().run(GENERATION);
                turn.wait();
            }
        },
    )
}

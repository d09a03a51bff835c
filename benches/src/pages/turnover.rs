//! Large blocks that are allocated, written and freed.

use std::array;
use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use fastrand::Rng;

use super::run::{Run, Values};
use super::sizes::{TENTH, even};
use super::stopwatch::{Counts, counts, time, values};
use crate::workloads::block::Block;

const PAIRS: Range<usize> = 11 * TENTH..2 << 20;
const HELD: Range<usize> = 5 << 20..25 << 20;
const IMAGES: Range<usize> = 3 << 20..12 << 20;
const ZEROED: Range<usize> = 11 * TENTH..6 << 20;
/// Threads that have images.
const THREADS: usize = 4;

/// One block at a time.
pub(super) fn pairs(run: &Run) -> Values {
    let mut rng = Rng::with_seed(300);
    time(run, 10_000, || drop(Block::new(even(&mut rng, &PAIRS), 1)))
}

/// One at a time, from `calloc`.
pub(super) fn zeroed(run: &Run) -> Values {
    let mut rng = Rng::with_seed(301);
    time(run, 4000, || drop(Block::zeroed(even(&mut rng, &ZEROED), 1)))
}

/// The oldest of `N` is freed, and another takes its place.
pub(super) fn held<const N: usize>(run: &Run) -> Values {
    let mut rng = Rng::with_seed(302);
    let mut ring: [Option<Block>; N] = [const { None }; N];
    let mut turns = (0..N).cycle();
    let mut step = || {
        let place = &mut ring[turns.next().unwrap_or(0)];
        *place = None;
        *place = Some(Block::new(even(&mut rng, &HELD), 1));
    };
    (0..N).for_each(|_| step());
    time(run, 1000, step)
}

/// Each of several threads has one block at a time. An operation's time is that
/// of all of them together, divided by all operations.
pub(super) fn images(run: &Run) -> Values {
    let Counts { warm, timed } = counts(run, 500);
    let gate = &Barrier::new(THREADS);
    let member = move |seed: u64| {
        let mut rng = Rng::with_seed(seed);
        let mut pair = || drop(Block::new(even(&mut rng, &IMAGES), 1));
        (0..warm).for_each(|_| pair());
        gate.wait();
        let start = Instant::now();
        (0..timed).for_each(|_| pair());
        (start, Instant::now())
    };
    let times = thread::scope(|scope| {
        let threads: [_; THREADS] = array::from_fn(|n| scope.spawn(move || member(310 + n as u64)));
        threads.map(|thread| thread.join().expect("no panic"))
    });
    let first = times.iter().map(|(start, _)| *start).min().expect("several threads");
    let last = times.iter().map(|(_, end)| *end).max().expect("several threads");
    values(last - first, timed * THREADS)
}

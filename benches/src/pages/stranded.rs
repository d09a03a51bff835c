//! Threads that exchanged blocks, freed all of them, and do nothing any more:
//! what they hold is stranded with them.

use std::array;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::run::{Run, Values, mib, peak, resident};
use super::sizes::doubling;
use crate::probes::block::Block;

const THREADS: usize = 16;
/// Blocks that each thread gives to the next.
const BLOCKS: usize = 20_000;
const SIZES: Range<usize> = 32..256 << 10;
/// Blocks between two threads.
const RING: usize = 256;
/// From one reading to the next.
const TICK: Duration = Duration::from_millis(50);
/// What may stay resident, and what more for each thread that there still is.
const REST: f64 = (4 << 20) as f64;
const PARKED: f64 = (1 << 20) as f64;

/// What one thread gives to the next.
struct Ring {
    held: [Option<Block>; RING],
    /// The oldest block, and how many there are.
    first: usize,
    count: usize,
}

impl Ring {
    const EMPTY: Ring = Ring { held: [const { None }; RING], first: 0, count: 0 };

    /// Takes a block, or returns it if the ring is full.
    fn put(&mut self, block: Block) -> Option<Block> {
        if self.count == RING {
            return Some(block);
        }
        self.held[(self.first + self.count) % RING] = Some(block);
        self.count += 1;
        None
    }

    fn take(&mut self) -> Option<Block> {
        let block = self.held[self.first].take()?;
        (self.first, self.count) = ((self.first + 1) % RING, self.count - 1);
        Some(block)
    }
}

/// Frees the oldest block, after the lock was released.
fn free_one(ring: &Mutex<Ring>) -> bool {
    let block = ring.lock().unwrap_or_else(PoisonError::into_inner).take();
    block.is_some()
}

/// Allocates blocks for the next thread; frees one of those from the last
/// thread for each.
fn exchange(mine: &Mutex<Ring>, next: &Mutex<Ring>, blocks: usize, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..blocks {
        let mut block = Some(Block::new(doubling(&mut rng, &SIZES)));
        while let Some(full) = block.take() {
            // Even if there is no room: all threads could wait for room.
            free_one(mine);
            block = next.lock().unwrap_or_else(PoisonError::into_inner).put(full);
            if block.is_some() {
                thread::yield_now();
            }
        }
    }
}

/// Reads what is resident over `start` again and again: after how many seconds
/// it was within the `bound`, the end, the most after it was within the bound,
/// and the peak before.
fn watch(run: &Run, start: f64, bound: f64) -> Values {
    let begin = Instant::now();
    let (mut within, mut most) = (None, None);
    let mut tick = 0;
    let end = loop {
        let over = resident() - start;
        if over <= bound && within.is_none() {
            within = Some(TICK.as_secs_f64() * f64::from(tick));
        }
        if within.is_some() {
            most = Some(over.max(most.unwrap_or(over)));
        }
        tick += 1;
        if TICK * tick > run.watch {
            break over;
        }
        thread::sleep((TICK * tick).saturating_sub(begin.elapsed()));
    };
    vec![within, Some(mib(end)), most.map(mib), Some(mib(peak()))]
}

fn stranded(run: &Run, parked: bool) -> Values {
    let start = resident();
    let rings = &[const { Mutex::new(Ring::EMPTY) }; THREADS];
    let gate = &Barrier::new(THREADS + 1);
    let busy = &AtomicUsize::new(THREADS);
    let blocks = run.scaled(BLOCKS);
    let member = move |n: usize| {
        exchange(&rings[n], &rings[(n + 1) % THREADS], blocks, 330 + n as u64);
        busy.fetch_sub(1, Ordering::Relaxed);
        // The thread before may still wait for room.
        while busy.load(Ordering::Relaxed) > 0 {
            if !free_one(&rings[n]) {
                thread::yield_now();
            }
        }
        gate.wait();
        while free_one(&rings[n]) {}
        gate.wait();
        if parked {
            gate.wait();
        }
    };
    thread::scope(|scope| {
        let threads: [_; THREADS] = array::from_fn(|n| scope.spawn(move || member(n)));
        gate.wait();
        gate.wait();
        if parked {
            let values = watch(run, start, REST + THREADS as f64 * PARKED);
            gate.wait();
            return values;
        }
        // A scope ends when the closures have returned, which is before the
        // threads have.
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        watch(run, start, REST)
    })
}

/// The threads park.
pub(super) fn parked(run: &Run) -> Values {
    stranded(run, true)
}

/// The threads end.
pub(super) fn ended(run: &Run) -> Values {
    stranded(run, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_gives_the_oldest_and_refuses_one_too_many() {
        let mut ring = Ring::EMPTY;
        for turn in 0..3 {
            assert!((0..RING).all(|n| ring.put(Block::new(8 + n + turn)).is_none()));
            assert!(ring.put(Block::new(8)).is_some());
            assert!((0..RING).all(|n| ring.take().is_some_and(|b| b.size() == 8 + n + turn)));
            assert!(ring.take().is_none());
            assert!(ring.put(Block::new(8)).is_none() && ring.take().is_some());
        }
    }

    #[test]
    fn what_is_never_within_the_bound_has_no_time() {
        let run = Run { scale: 1.0, watch: TICK };
        let values = watch(&run, 0.0, 0.0);
        assert!(values[0].is_none() && values[2].is_none() && values[1] > Some(0.0));
        let values = watch(&run, 0.0, f64::MAX);
        assert!(values[0] == Some(0.0) && values[2] >= values[1]);
    }
}

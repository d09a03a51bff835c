//! A server's threads: each replaces random blocks of an array and passes the
//! array to a new thread before it exits, so that most blocks are freed by a
//! thread that did not allocate them.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use fastrand::Rng;

use super::block::Block;
use super::parts::{fold, scaled, share};

const SLOTS: usize = 5_000;
/// Number of threads that have an array one after another.
const GENERATIONS: u32 = 40;
/// Replacements of all threads together.
const REPLACEMENTS: u64 = 24_000_000;

/// Data passed from thread to thread. It may be on the heap, where no two may
/// share cache lines, nor pairs of them, which the processor may load together.
#[repr(align(128))]
struct Desk {
    slots: Vec<Block>,
    rng: Rng,
    sum: u64,
}

fn fresh(rng: &mut Rng) -> Block {
    let size = 8 + share(rng.u32(..), 993);
    Block::new(size, rng.u64(..))
}

impl Desk {
    fn new(seed: u64) -> Desk {
        let mut rng = Rng::with_seed(seed);
        Desk { slots: (0..SLOTS).map(|_| fresh(&mut rng)).collect(), rng, sum: 0 }
    }

    fn replace(&mut self, times: u64) {
        for _ in 0..times {
            let slot = share(self.rng.u32(..), SLOTS);
            let old = std::mem::replace(&mut self.slots[slot], fresh(&mut self.rng));
            self.sum = fold(self.sum, old.sum());
        }
    }

    fn close(self) -> u64 {
        self.slots.iter().fold(self.sum, |sum, block| fold(sum, block.sum()))
    }
}

/// The work of a thread with `left` successors.
fn serve(mut desk: Desk, times: u64, left: u32, done: Sender<u64>) {
    desk.replace(times);
    if left > 0 {
        thread::spawn(move || serve(desk, times, left - 1, done));
    } else {
        // The receiver outlives all threads.
        let _ = done.send(desk.close());
    }
}

/// This many arrays, each with one thread at any time.
pub(crate) fn run(lanes: u64, scale: f64) -> u64 {
    let times = scaled(REPLACEMENTS / lanes / u64::from(GENERATIONS), scale);
    let (done, sums) = channel();
    for lane in 0..lanes {
        let (desk, done) = (Desk::new(100 + lane), done.clone());
        thread::spawn(move || serve(desk, times, GENERATIONS - 1, done));
    }
    drop(done);
    sums.iter().fold(0, u64::wrapping_add)
}

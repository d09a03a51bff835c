//! Some threads only allocate and others only free: batches of blocks go
//! through a bounded queue.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use fastrand::Rng;

use super::block::Block;
use super::parts::{scaled, share};

/// Blocks in a batch.
const BATCH: usize = 256;
/// Batches in the queue.
const QUEUE: usize = 64;
/// Batches of all producers together.
const BATCHES: u64 = 60_000;

type Batch = Vec<Block>;

/// 16 to 512 bytes; each power of two is as frequent as the next.
fn fresh(rng: &mut Rng) -> Block {
    let base = 16 << share(rng.u32(..), 5);
    Block::new(base + share(rng.u32(..), base + 1), rng.u64(..))
}

fn produce(queue: &Sender<Batch>, batches: u64, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..batches {
        let batch = (0..BATCH).map(|_| fresh(&mut rng)).collect();
        queue.send(batch).expect("the consumer outlives the producers");
    }
}

fn consume(queue: &Receiver<Batch>) -> u64 {
    queue.iter().flatten().map(|block| block.sum()).fold(0, u64::wrapping_add)
}

/// This many producers, and as many consumers.
pub(crate) fn run(pairs: u64, scale: f64) -> u64 {
    let each = scaled(BATCHES / pairs, scale);
    let (sender, receiver) = bounded(QUEUE);
    thread::scope(|scope| {
        let receiver = &receiver;
        let consumers: Vec<_> =
            (0..pairs).map(|_| scope.spawn(move || consume(receiver))).collect();
        for n in 0..pairs {
            let sender = sender.clone();
            scope.spawn(move || produce(&sender, each, 200 + n));
        }
        drop(sender);
        consumers.into_iter().map(|t| t.join().unwrap()).fold(0, u64::wrapping_add)
    })
}

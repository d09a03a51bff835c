//! A stream of blocks from one thread to another.

use std::sync::Barrier;
use std::thread;

use fastrand::Rng;

use super::block::Block;
use super::ring::Ring;
use super::run::Run;

/// Total number of blocks.
const BLOCKS: usize = 20_000_000;

/// One thread allocates blocks, another frees them.
pub(super) fn handover(run: &Run<'_>) {
    let blocks = run.scaled(BLOCKS);
    let (ring, gate) = (&Ring::new(), &Barrier::new(3));
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut rng = Rng::with_seed(200);
            (0..blocks).for_each(|turn| ring.put(turn, Block::new(rng.usize(16..=256))));
            gate.wait();
            gate.wait();
        });
        scope.spawn(move || {
            (0..blocks).for_each(|turn| drop(ring.take(turn)));
            gate.wait();
            gate.wait();
        });
        gate.wait();
        run.read("end", 0);
        gate.wait();
    });
}

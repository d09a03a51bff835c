//! Threads that do little before they end.

use std::thread;

use super::block::Block;
use super::outcome::{Outcome, scaled};
use super::team::team;

/// Blocks of a thread.
const BLOCKS: usize = 100;

/// Each of two threads starts one after the other that allocates some blocks,
/// frees them, and ends.
pub(crate) fn starts(scale: f64) -> Outcome {
    let threads = scaled(4_000, scale);
    team(
        2,
        2 * threads,
        |thread| fastrand::Rng::with_seed(80 + thread as u64),
        |_, rng| {
            for _ in 0..threads {
                let mut rng = rng.fork();
                let brief = move || {
                    let blocks: Vec<Block> =
                        (0..BLOCKS).map(|_| Block::new(rng.usize(16..=1024))).collect();
                    drop(blocks);
                };
                thread::spawn(brief).join().expect("no panic");
            }
        },
    )
}

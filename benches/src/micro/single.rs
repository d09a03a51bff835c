//! One thread, small blocks, regular orders.

use std::hint::black_box;

use super::block::Block;
use super::outcome::{Outcome, passes, scaled};

/// A box of constant layout, allocated and dropped at once.
pub(crate) fn pair(scale: f64) -> Outcome {
    let ops = scaled(10_000_000, scale);
    passes(ops, || {
        for _ in 0..ops {
            let mut block = Box::new([0u64; 4]);
            black_box(&raw mut *block);
        }
    })
}

/// The same with sizes that the compiler does not know.
pub(crate) fn pairdyn(scale: f64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(1);
    let sizes: Vec<usize> = (0..1024).map(|_| rng.usize(16..=1024)).collect();
    let rounds = scaled(5_000, scale);
    passes(rounds * sizes.len() as u64, || {
        for _ in 0..rounds {
            for &size in &sizes {
                black_box(Block::new(size));
            }
        }
    })
}

/// `live` boxes allocated, then dropped from the youngest to the oldest.
pub(crate) fn lifo(scale: f64, live: usize) -> Outcome {
    let rounds = scaled(5_000_000 / live as u64, scale);
    let mut stack: Vec<Box<[u64; 4]>> = Vec::with_capacity(live);
    passes(rounds * live as u64, || {
        for _ in 0..rounds {
            for i in 0..live as u64 {
                stack.push(Box::new([i; 4]));
            }
            black_box(stack.as_mut_ptr());
            while let Some(block) = stack.pop() {
                drop(block);
            }
        }
    })
}

/// `live` boxes allocated, then dropped from the oldest to the youngest.
pub(crate) fn fifo(scale: f64, live: usize) -> Outcome {
    let rounds = scaled(5_000_000 / live as u64, scale);
    let mut queue: Vec<Box<[u64; 4]>> = Vec::with_capacity(live);
    passes(rounds * live as u64, || {
        for _ in 0..rounds {
            for i in 0..live as u64 {
                queue.push(Box::new([i; 4]));
            }
            black_box(queue.as_mut_ptr());
            queue.clear();
        }
    })
}

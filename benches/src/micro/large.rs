//! Much memory: a large live set, large buffers, huge blocks.

use std::hint::black_box;
use std::time::Instant;

use super::block::Block;
use super::outcome::{Outcome, PASSES, passes, rss_kib, scaled};

/// Allocates 1 GiB of blocks of 64 to 128 bytes, then frees them in random
/// order; returns the outcomes of the two halves. The warm-up has a sixteenth
/// of the size.
///
/// The table of the blocks, 16 bytes each, is part of the resident memory.
pub(crate) fn tear(scale: f64) -> (Outcome, Outcome) {
    let blocks = scaled((1 << 30) / 96, scale) as usize;
    let mut rng = fastrand::Rng::with_seed(10);
    let mut table: Vec<Block> = Vec::with_capacity(blocks);
    let mut build = [0.0; PASSES];
    let mut teardown = [0.0; PASSES];
    let mut rss = 0;
    for n in 0..=PASSES {
        let count = if n == 0 { blocks / 16 } else { blocks };
        let start = Instant::now();
        for _ in 0..count {
            table.push(Block::new(rng.usize(64..=128)));
        }
        let built = start.elapsed();
        rss = rss_kib();
        rng.shuffle(&mut table);
        let start = Instant::now();
        table.clear();
        let torn = start.elapsed();
        if n > 0 {
            build[n - 1] = built.as_secs_f64();
            teardown[n - 1] = torn.as_secs_f64();
        }
    }
    let ops = blocks as u64;
    (Outcome::new(ops, &build, rss), Outcome::new(ops, &teardown, rss_kib()))
}

/// Buffers of 64 KiB and 300 KiB, eight of them live.
pub(crate) fn bigbuf(scale: f64) -> Outcome {
    let ops = scaled(40_000, scale);
    let mut live: [Option<Block>; 8] = Default::default();
    passes(ops, || {
        for i in 0..ops as usize {
            let mut buffer = Block::new(if i % 3 == 0 { 300 << 10 } else { 64 << 10 });
            buffer.touch();
            live[i % 8] = Some(buffer);
        }
        black_box(&live);
    })
}

/// 4 MiB at a time, with one page written.
pub(crate) fn huge(scale: f64) -> Outcome {
    let ops = scaled(100_000, scale);
    passes(ops, || {
        for _ in 0..ops {
            black_box(Block::new(4 << 20));
        }
    })
}

/// A vector extended page by page from empty to 64 MiB.
pub(crate) fn hugegrow(scale: f64) -> Outcome {
    let ops = scaled(5, scale);
    let page = [1u8; 4096];
    passes(ops, || {
        for _ in 0..ops {
            let mut vector = Vec::new();
            while vector.len() < 64 << 20 {
                vector.extend_from_slice(&page);
            }
            black_box(&mut vector);
        }
    })
}

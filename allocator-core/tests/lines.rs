//! Threads that allocate at the same time do not get blocks on one cache line.

mod common;

use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;

use allocator_core::Strata;
use common::Block;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const LINE: usize = 64;
const THREADS: usize = 6;
/// Blocks of each thread: fewer than a trial takes, so no thread leases a span.
const BLOCKS: usize = 40;

/// Threads allocate blocks of one size in turn. Returns, for each cache line, the
/// threads that have a block there.
fn lines(size: usize) -> HashMap<usize, Vec<usize>> {
    let step = Barrier::new(THREADS);
    let make = |_| {
        step.wait();
        Block::new(&GLOBAL, size, 8).unwrap()
    };
    let mut lines = HashMap::<usize, Vec<usize>>::new();
    let made: Vec<Vec<Block>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| scope.spawn(|| (0..BLOCKS).map(make).collect())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (thread, blocks) in made.into_iter().enumerate() {
        for block in blocks {
            let start = block.ptr.addr();
            for line in start / LINE..=(start + size - 1) / LINE {
                lines.entry(line).or_default().push(thread);
            }
            block.free(&GLOBAL);
        }
    }
    lines
}

#[test]
fn no_line_is_shared_by_threads_that_start_together() {
    for size in [16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128] {
        for (line, threads) in lines(size) {
            let first = threads[0];
            assert!(
                threads.iter().all(|thread| *thread == first),
                "blocks of {size} bytes: threads {threads:?} share line {line:#x}"
            );
        }
    }
}

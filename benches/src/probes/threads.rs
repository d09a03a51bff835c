//! Many threads with few blocks each.

use std::array;
use std::sync::Barrier;
use std::thread::{self, Builder};

use fastrand::Rng;

use super::block::Block;
use super::run::Run;

/// Threads at a time.
const THREADS: usize = 500;
/// Blocks of each thread.
const BLOCKS: usize = 64;
/// The default stack size of C programs. glibc caches stacks of exited threads,
/// up to 40 MiB of address space: with smaller stacks it would keep more of
/// them, with the pages that they have touched.
const STACK: usize = 8 << 20;

/// Reads while the threads are running.
pub(super) fn alive(run: &Run<'_>) {
    crowd(run);
}

/// Reads again after they have exited.
pub(super) fn ended(run: &Run<'_>) {
    crowd(run);
    run.sleep();
    run.read("ended", 0);
}

fn crowd(run: &Run<'_>) {
    let threads = run.scaled(THREADS);
    let gate = &Barrier::new(threads + 1);
    let member = move |seed: u64| {
        let mut rng = Rng::with_seed(seed);
        let blocks: [_; BLOCKS] = array::from_fn(|_| Block::new(rng.usize(16..=1024)));
        gate.wait();
        gate.wait();
        drop(blocks);
    };
    thread::scope(|scope| {
        let start = |n| {
            let builder = Builder::new().stack_size(STACK);
            builder.spawn_scoped(scope, move || member(n)).expect("one more thread")
        };
        let running: Vec<_> = (0..threads as u64).map(start).collect();
        gate.wait();
        run.read("live", 0);
        gate.wait();
        // A scope ends when the threads' closures return, which is before the
        // threads have exited.
        running.into_iter().for_each(|thread| thread.join().expect("a thread panicked"));
    });
}

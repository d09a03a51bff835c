//! Many threads with few blocks each.

use std::array;
use std::sync::Barrier;
use std::thread::{self, Builder};

use fastrand::Rng;

use super::block::Block;
use super::run::Run;

/// At a time.
const THREADS: usize = 500;
/// Of each thread.
const BLOCKS: usize = 64;
/// As a C program's threads have, where nothing says otherwise. glibc keeps stacks
/// of ended threads, up to 40 MiB of addresses: of smaller stacks it would keep
/// more, with the pages that they have touched.
const STACK: usize = 8 << 20;

/// Reads while the threads are alive.
pub(super) fn alive(run: &Run<'_>) {
    crowd(run);
}

/// Reads when they have ended, too.
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
            builder.spawn_scoped(scope, move || member(n)).expect("a thread more")
        };
        let running: Vec<_> = (0..threads as u64).map(start).collect();
        gate.wait();
        run.read("live", 0);
        gate.wait();
        // A scope ends when the threads' work has, before they are gone.
        running.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    });
}

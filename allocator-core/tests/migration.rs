//! Stackful coroutines that another thread resumes, in the middle of a function. What
//! that function allocates and frees next must go through the cache of the thread that
//! it runs on now: a thread pointer that the compiler kept from before the switch would
//! lead to the cache of the first thread, which two threads would then use at once.
//!
//! The allocation is inlined into the function only with LTO, so the test runs itself
//! once more with the release profile.

mod common;

use std::hint::black_box;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use allocator_core::Strata;
use common::{Ended, Random};
use corosensei::{Coroutine, CoroutineResult, Yielder};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const THREADS: usize = 4;
const COROUTINES: usize = 100;
const ROUNDS: u64 = 300;
/// Blocks that a coroutine holds for longer.
const KEPT: usize = 20;

type Words = [u64; 4];

/// A coroutine, which any thread may resume.
struct Moving(Coroutine<(), (), ()>);

// SAFETY: one thread at a time has it; what is on its stack may move between threads.
unsafe impl Send for Moving {}

/// A coroutine that allocates, checks and frees, and may move before each of these.
fn coroutine(seed: u64) -> Moving {
    Moving(Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
        let mut random = Random(seed);
        let mut kept: Vec<(Box<Words>, Words)> = Vec::new();
        for round in 0..ROUNDS {
            let (first, second) = ([random.next(), round, seed, !round], [random.next(); 4]);
            let a = black_box(Box::new(first));
            yielder.suspend(());
            let b = black_box(Box::new(second));
            yielder.suspend(());
            assert_eq!(*a, first);
            drop(black_box(a));
            yielder.suspend(());
            kept.push((b, second));
            if kept.len() > KEPT {
                let (block, words) = kept.swap_remove(random.below(KEPT));
                yielder.suspend(());
                assert_eq!(*block, words);
                drop(black_box(block));
                yielder.suspend(());
            }
        }
        assert!(kept.iter().all(|(block, words)| **block == *words));
    }))
}

/// Resumes what it gets, and sends it back until it is at its end.
fn resume_all(work: Receiver<Moving>, back: &Sender<(usize, Option<Moving>)>, thread: usize) {
    for mut moving in work.iter() {
        let left = match moving.0.resume(()) {
            CoroutineResult::Yield(()) => Some(moving),
            CoroutineResult::Return(()) => None,
        };
        back.send((thread, left)).unwrap();
    }
}

#[test]
fn coroutines_move_between_threads() {
    let (back, done) = mpsc::channel();
    let (queues, threads): (Vec<_>, Vec<_>) = (0..THREADS)
        .map(|thread| {
            let (queue, work) = mpsc::channel();
            let back = back.clone();
            (queue, thread::spawn(move || resume_all(work, &back, thread)))
        })
        .unzip();
    for seed in 0..COROUTINES {
        queues[seed % THREADS].send(coroutine(seed as u64 + 1)).unwrap();
    }
    let (mut left, mut moves) = (COROUTINES, 0);
    while left > 0 {
        let (thread, moving) = done.recv().unwrap();
        let Some(moving) = moving else {
            left -= 1;
            continue;
        };
        moves += 1;
        // To another thread, each time.
        let by = 1 + moves / 7 % (THREADS - 1);
        queues[(thread + by) % THREADS].send(moving).unwrap();
    }
    assert!(moves as u64 > COROUTINES as u64 * ROUNDS * 3, "{moves}");
    drop(queues);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The same, as users build it.
#[test]
fn with_lto() {
    if common::own_profile() != "dev" {
        return;
    }
    let tests = common::cargo("test", common::RELEASE).args(["--test", "migration"]).output();
    let ended = Ended::from(tests.unwrap());
    assert!(ended.ok, "{}{}", ended.out, ended.err);
}

//! The statistics are exact while no thread allocates, wherever blocks are: with the
//! program, in magazines, remote caches or batches, of threads that run, sleep, or
//! have ended.

mod common;

use allocator_core::{ClassStats, Strata};
use common::{Block, Random};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const CLASSES: usize = 75;

/// What `count` says of each class. Allocates nothing.
fn of_each_class(count: impl Fn(&ClassStats) -> usize) -> [usize; CLASSES] {
    let stats = Strata::stats();
    assert_eq!(stats.classes().len(), CLASSES);
    std::array::from_fn(|class| count(&stats.classes()[class]))
}

/// Live blocks of each class.
fn live() -> [usize; CLASSES] {
    of_each_class(ClassStats::live_blocks)
}

/// The size of each class's blocks.
fn sizes() -> [usize; CLASSES] {
    of_each_class(ClassStats::block_bytes)
}

/// The live blocks are those of `before` and those of the model.
fn grew_by(before: &[usize; CLASSES], model: &[usize; CLASSES], when: &'static str) {
    let now = live();
    for class in 0..CLASSES {
        let size = Strata::stats().classes()[class].block_bytes();
        assert_eq!(now[class], before[class] + model[class], "{when}: class of {size} bytes");
    }
}

fn every_class_anywhere() {
    let sizes = sizes();
    // The vector that holds the blocks is allocated before counting.
    let mut held: Vec<(usize, Block)> = Vec::with_capacity(200_000);
    let mut model = [0; CLASSES];
    let before = live();
    assert_eq!(before, live(), "reading the numbers changed them");

    for (class, &size) in sizes.iter().enumerate() {
        for n in 0..100 {
            let size = size - usize::from(n % 2 == 1);
            held.push((class, Block::new(&GLOBAL, size, 1).unwrap()));
            model[class] += 1;
        }
    }
    grew_by(&before, &model, "after allocating");

    // Every second block is freed: to magazines, which overflow.
    let mut kept = Vec::with_capacity(200_000);
    let with_vector = live();
    let mut gone = [0; CLASSES];
    for (n, (class, block)) in held.drain(..).enumerate() {
        if n % 2 == 0 {
            block.free(&GLOBAL);
            gone[class] += 1;
        } else {
            kept.push((class, block));
        }
    }
    let now = live();
    for class in 0..CLASSES {
        assert_eq!(now[class], with_vector[class] - gone[class], "after freeing: {class}");
    }

    // A thread frees the rest and sleeps with full magazines. Then it ends.
    let barrier = Barrier::new(2);
    let idle = live();
    thread::scope(|scope| {
        let handle = scope.spawn(|| {
            barrier.wait();
            barrier.wait();
            for (_, block) in kept.drain(..) {
                block.free(&GLOBAL);
            }
            barrier.wait();
            barrier.wait();
        });
        barrier.wait();
        let started = live();
        barrier.wait();
        barrier.wait();
        let asleep = live();
        for class in 0..CLASSES {
            assert_eq!(asleep[class] + gone[class], started[class], "in a sleeping thread");
        }
        barrier.wait();
        handle.join().unwrap();
    });
    let after = live();
    for class in 0..CLASSES {
        // The thread's own few blocks are freed when it has ended.
        let left = idle[class] - gone[class];
        assert!(
            after[class] <= left && after[class] + 3 >= left,
            "{class}: {} {left}",
            after[class]
        );
    }
}

/// Random blocks pass between threads, some of which end. In each pause the
/// statistics agree with the model.
fn random_wandering() {
    const THREADS: usize = 4;
    let sizes = sizes();
    let class_of = |size: usize| sizes.iter().position(|s| *s >= size).unwrap();
    let held: [std::sync::Mutex<Vec<Block>>; THREADS] =
        std::array::from_fn(|_| std::sync::Mutex::new(Vec::with_capacity(100_000)));
    let totals = || {
        let mut model = [0; CLASSES];
        let mut large = 0;
        for held in &held {
            for block in held.lock().unwrap().iter() {
                if block.layout.size() <= 32 << 10 {
                    model[class_of(block.layout.size())] += 1;
                } else {
                    large += block.layout.size().next_multiple_of(4096);
                }
            }
        }
        (model, large)
    };
    let barrier = Barrier::new(THREADS + 1);
    let rounds = 20;
    thread::scope(|scope| {
        for t in 0..THREADS {
            let (held, barrier) = (&held, &barrier);
            scope.spawn(move || {
                let mut random = Random(t as u64 + 1);
                barrier.wait();
                barrier.wait();
                for round in 0..rounds {
                    for _ in 0..2000 {
                        let whose = random.below(THREADS);
                        if random.below(100) < 55 {
                            let log = if random.below(100) == 0 { 21 } else { 14 };
                            let size = random.size(log).min(3 << 20);
                            let block = Block::new(&GLOBAL, size, 8).unwrap();
                            held[whose].lock().unwrap().push(block);
                        } else {
                            let block = held[whose].lock().unwrap().pop();
                            if let Some(block) = block {
                                block.free(&GLOBAL);
                            }
                        }
                        if random.below(4000) == 0 {
                            Strata::purge();
                        }
                    }
                    if round % 5 == t % 5 {
                        // Blocks of a thread that ends soon.
                        common::in_threads([|| {
                            for i in 0..500 {
                                let block = Block::new(&GLOBAL, 1 + i * 3, 8).unwrap();
                                held[i % THREADS].lock().unwrap().push(block);
                                if i % 3 == 0 {
                                    let block = held[t].lock().unwrap().pop();
                                    block.into_iter().for_each(|b| b.free(&GLOBAL));
                                }
                            }
                        }]);
                    }
                    barrier.wait();
                    barrier.wait();
                }
            });
        }
        barrier.wait();
        let before = live();
        let large_before = Strata::stats().large_bytes();
        barrier.wait();
        for round in 0..rounds {
            barrier.wait();
            let (model, large) = totals();
            grew_by(&before, &model, "in a pause");
            assert_eq!(Strata::stats().large_bytes(), large_before + large, "round {round}");
            let stats = Strata::stats();
            assert!(stats.committed_bytes() >= stats.free_bytes());
            assert!(stats.mapped_bytes() + (1 << 16) >= stats.large_bytes());
            barrier.wait();
        }
    });
    for held in &held {
        for block in held.lock().unwrap().drain(..) {
            block.free(&GLOBAL);
        }
    }
}

/// Reading the statistics changes none of the counters.
fn reading() {
    common::others_sleep();
    let first = Strata::stats();
    for _ in 0..1000 {
        let _ = std::hint::black_box(Strata::stats());
    }
    let last = Strata::stats();
    assert!(first.classes() == last.classes());
    assert_eq!(first.large_bytes(), last.large_bytes());
    assert_eq!(first.cached_bytes(), last.cached_bytes());
    assert_eq!(first.mapped_bytes(), last.mapped_bytes());
    assert_eq!(first.committed_bytes(), last.committed_bytes());
    assert_eq!(first.metadata_bytes(), last.metadata_bytes());
}

/// Purged bytes are counted.
fn purged_bytes() {
    let blocks: Vec<_> = (0..30).map(|_| Block::new(&GLOBAL, 500 << 10, 8).unwrap()).collect();
    Strata::purge();
    let before = Strata::stats();
    for block in blocks {
        block.free(&GLOBAL);
    }
    let given = Strata::purge();
    let after = Strata::stats();
    assert_eq!(before.large_bytes() - after.large_bytes(), 30 * (500 << 10));
    assert!(given + (4 << 20) >= 2 << 20);
    assert!(after.purged_bytes() - before.purged_bytes() >= 30 * (500 << 10));
    assert!(after.free_bytes() <= before.free_bytes(), "{after:?}");
}

/// Waits until the test harness's own thread is idle: it still allocates when a test
/// begins.
fn until_quiet() {
    let mut seen = Strata::stats();
    loop {
        thread::sleep(Duration::from_millis(30));
        let now = Strata::stats();
        if now.classes() == seen.classes() {
            return;
        }
        seen = now;
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    until_quiet();
    match case.as_str() {
        "classes" => every_class_anywhere(),
        "random" => random_wandering(),
        "reading" => reading(),
        "purged" => purged_bytes(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn live_blocks_are_exact() {
    common::succeeds("classes");
    common::succeeds("random");
}

#[test]
fn reading_allocates_nothing() {
    common::succeeds("reading");
}

#[test]
fn purging_is_counted() {
    common::succeeds("purged");
}

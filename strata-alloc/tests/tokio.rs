//! Runtimes whose threads keep nothing, and the watch as a task.

use std::thread;
use std::time::{Duration, Instant};

use strata_alloc::{Strata, history};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Work that leaves free blocks in the caches of its thread.
async fn work() -> usize {
    let blocks: Vec<Vec<u8>> = (0..2_000).map(|n| vec![1; 1 + n % 500]).collect();
    tokio::task::yield_now().await;
    blocks.iter().map(Vec::len).sum()
}

/// Waits until it is true, for ten seconds.
#[track_caller]
fn eventually(is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not become true");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes in the caches of a runtime's threads while these sleep.
fn kept(mut builder: tokio::runtime::Builder) -> usize {
    Strata::purge();
    let before = Strata::stats().cached_bytes();
    let runtime = builder.worker_threads(8).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(work())).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    // Until all sleep.
    thread::sleep(Duration::from_millis(200));
    Strata::stats().cached_bytes().saturating_sub(before)
}

#[test]
fn sleeping_threads_keep_nothing_and_a_task_watches() {
    let plain = kept(tokio::runtime::Builder::new_multi_thread());
    let ours = kept(strata_alloc::tokio::builder());
    assert!(ours * 4 < plain, "{ours} bytes, without it {plain}");

    assert_eq!(history(), []);
    let runtime = strata_alloc::tokio::builder().build().unwrap();
    let task = runtime.spawn(async { strata_alloc::tokio::watch().await });
    eventually(|| history().len() == 1);
    // There is one already.
    runtime.block_on(async { strata_alloc::tokio::watch().await.unwrap() });
    assert!(!task.is_finished());
    drop(runtime);
    // It has ended with its runtime, so there may be another.
    let runtime = strata_alloc::tokio::builder().build().unwrap();
    let _inside = runtime.enter();
    let task = strata_alloc::tokio::watch();
    eventually(|| history().len() == 2);
    task.abort();
    assert!(runtime.block_on(task).unwrap_err().is_cancelled());
}

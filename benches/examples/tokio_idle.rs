//! A tokio runtime whose threads flush their caches when they park.
//!
//! ```sh
//! cargo run --release -p benches --example tokio_idle
//! ```

use std::time::Duration;

use allocator_core::Strata;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Work that leaves free blocks in the magazines of its thread.
async fn work(seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let words: Vec<String> = (0..2_000).map(|_| "x".repeat(random.usize(1..500))).collect();
    tokio::task::yield_now().await;
    words.iter().map(String::len).sum()
}

fn kept(idle: bool) -> usize {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(8).enable_time();
    if idle {
        builder.on_thread_park(Strata::thread_idle);
    }
    let runtime = builder.build().expect("threads");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..64).map(|seed| tokio::spawn(work(seed))).collect();
        for task in tasks {
            task.await.expect("the program exits successfully");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Strata::stats().cached_bytes()
    })
}

fn main() {
    println!("parked threads hold {} KiB", kept(false) >> 10);
    println!("with on_thread_park, {} KiB", kept(true) >> 10);
}

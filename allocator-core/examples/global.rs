//! Strata as the global allocator of a program: a few threads use it, and the program
//! prints its statistics. `cargo run --release -p allocator-core --example global`

use std::collections::HashMap;
use std::thread;

use allocator_core::Strata;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Allocates blocks of many sizes in this thread.
fn work(seed: usize) -> HashMap<usize, Vec<u8>> {
    (0..20_000).map(|i| (i, vec![seed as u8; (i * 37 + seed) % 2000])).collect()
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn print(when: &str) {
    let stats = Strata::stats();
    println!(
        "{when:16} live {:6.2} MiB, in magazines {:5.2}, free {:6.2}, metadata {:5.2}",
        mib(stats.live_bytes()),
        mib(stats.cached_bytes()),
        mib(stats.free_bytes()),
        mib(stats.metadata_bytes()),
    );
}

fn main() {
    print("at the start");
    let threads: Vec<_> = (0..4).map(|seed| thread::spawn(move || work(seed))).collect();
    let maps: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    print("four maps");

    println!("\n  classes with the most bytes:");
    let mut classes = Strata::stats().classes().to_vec();
    classes.sort_by_key(|class| std::cmp::Reverse(class.live_blocks() * class.block_bytes()));
    for class in classes.iter().take(5) {
        println!(
            "  {:6} B  {:6} live, {:4} in magazines",
            class.block_bytes(),
            class.live_blocks(),
            class.cached_blocks()
        );
    }
    println!();

    // The threads that allocated these blocks have ended.
    drop(maps);
    print("dropped");
    println!("{:16} {:6.2} MiB went back to the system", "purged", mib(Strata::purge()));
    print("at the end");
}

//! The benefit of huge pages: follows many small blocks, linked in random
//! order, after the program has been idle for a while.
//!
//! ```sh
//! STRATA_CONF=thp:never cargo run --release -p benches --example chase
//! ```

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use allocator_core::Strata;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const BLOCKS: usize = 2_000_000;
/// Number of passes over the whole chain.
const ROUNDS: usize = 3;
/// The purge delay is shorter than this.
const REST: Duration = Duration::from_secs(3);

/// A field of smaps_rollup, in MiB.
fn mib(name: &str) -> u64 {
    let sums = std::fs::read_to_string("/proc/self/smaps_rollup").expect("reading from the kernel");
    let line = sums.lines().find_map(|line| line.strip_prefix(name)).expect("the line exists");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

fn main() {
    let mut random = fastrand::Rng::with_seed(1);
    let start = Instant::now();
    // The first word of a block is the address of the next.
    let mut blocks: Vec<Box<[usize]>> =
        (0..BLOCKS).map(|_| vec![0; random.usize(4..54)].into_boxed_slice()).collect();
    let made = start.elapsed();
    let mut order: Vec<usize> = (0..BLOCKS).collect();
    random.shuffle(&mut order);
    for pair in order.windows(2) {
        blocks[pair[0]][0] = pair[1];
    }
    blocks[order[BLOCKS - 1]][0] = order[0];
    thread::sleep(REST);
    let start = Instant::now();
    let mut at = 0;
    for _ in 0..ROUNDS * BLOCKS {
        at = blocks[at][0];
    }
    black_box(at);
    let link = start.elapsed().as_nanos() / (ROUNDS * BLOCKS) as u128;
    println!(
        "{link} ns per link, {:.2} s to build, RSS {} MiB, of which huge {} MiB",
        made.as_secs_f64(),
        mib("Rss:"),
        mib("AnonHugePages:")
    );
}

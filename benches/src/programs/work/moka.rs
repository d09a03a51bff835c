//! A cache that is limited by the bytes of its values, and used by more threads
//! than the machine may have: values are built by the thread that misses them,
//! and freed by the one that evicts them.

use std::sync::Arc;

use fastrand::Rng;
use moka::sync::Cache;

use super::parts::{Hasher, skewed, sum};
use crate::workloads::parts::{scaled, team};

const THREADS: usize = 4;
/// Bytes of all values.
const CAPACITY: u64 = 200 << 20;
/// Different keys: their values are twice as large as the cache.
const KEYS: usize = 400_000;
/// Look-ups of all threads.
const STEPS: u64 = 900_000;

type Pages = Cache<String, Arc<Vec<u8>>, Hasher>;

/// The value of a key: 64 bytes to 4 KiB, small ones more often.
fn page(number: usize) -> Arc<Vec<u8>> {
    let mut rng = Rng::with_seed(number as u64);
    let length = 64 + skewed(&mut rng, 4_032);
    Arc::new(vec![rng.u8(..); length])
}

/// Looks pages up, by skewed keys. A page is the same whether it was cached.
fn look_up(pages: &Pages, steps: u64, seed: u64) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let mut found = 0_u64;
    for _ in 0..steps {
        let number = skewed(&mut rng, KEYS);
        let page = pages.get_with(format!("page:{number}"), || page(number));
        found = found.wrapping_add(sum(&page));
    }
    found
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    let pages: Pages = Cache::builder()
        .max_capacity(CAPACITY)
        .weigher(|_, page: &Arc<Vec<u8>>| u32::try_from(page.capacity()).unwrap_or(u32::MAX))
        .build_with_hasher(Hasher::default());
    let each = scaled(STEPS / THREADS as u64, scale);
    team(THREADS, |thread| look_up(&pages, each, 900 + thread as u64))
}

//! A key-value store in a temporary directory: a log-structured merge tree,
//! which keeps recent writes in memory and merges files in the background.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use fjall::{Config, Keyspace, PartitionCreateOptions, PartitionHandle};

use super::parts::{push_words, skewed, sum};
use crate::scratch::Scratch;
use crate::workloads::parts::{fold, scaled};

/// Records that are loaded first.
const RECORDS: u64 = 200_000;
/// Reads, updates and scans after that.
const STEPS: u64 = 250_000;
/// Records of a scan.
const SCANNED: usize = 50;
/// Bytes of blocks that stay in memory.
const CACHE: u64 = 48 << 20;
/// Bytes of recent writes in memory, before they become a file.
const RECENT: u32 = 16 << 20;

/// The value of a record in a version: 40 to 800 bytes of text.
fn value(number: u64, version: u64) -> String {
    let mut rng = Rng::with_seed(fold(number, version));
    let mut text = format!("{number} {version} ");
    let words = 4 + skewed(&mut rng, 120);
    push_words(&mut text, &mut rng, words, 2_000);
    text
}

fn key(number: u64) -> String {
    format!("record/{number:08}")
}

/// Loads all records, in an order in which neighbours are far apart.
fn load(partition: &PartitionHandle, records: u64) -> Result<()> {
    let mut order: Vec<u64> = (0..records).collect();
    Rng::with_seed(500).shuffle(&mut order);
    for number in order {
        partition.insert(key(number), value(number, 0))?;
    }
    Ok(())
}

/// Of sixteen steps, ten read, five update, and one scans.
fn serve(partition: &PartitionHandle, records: u64, steps: u64) -> Result<u64> {
    let mut rng = Rng::with_seed(501);
    let mut versions = vec![0_u64; usize::try_from(records)?];
    let mut all = 0;
    for _ in 0..steps {
        let place = skewed(&mut rng, versions.len());
        let number = place as u64;
        match rng.u8(..16) {
            0..10 => {
                let found = partition.get(key(number))?.context("a record is lost")?;
                let expected = value(number, versions[place]);
                ensure!(*found == *expected.as_bytes(), "record {number} has another value");
                all = fold(all, sum(&found));
            }
            10..15 => {
                versions[place] += 1;
                partition.insert(key(number), value(number, versions[place]))?;
            }
            _ => {
                for record in partition.range(key(number)..).take(SCANNED) {
                    let (key, value) = record?;
                    all = fold(all, sum(&key) ^ sum(&value));
                }
            }
        }
    }
    Ok(all)
}

fn work(scale: f64) -> Result<u64> {
    let scratch = Scratch::new("store")?;
    let keyspace: Keyspace = Config::new(scratch.path())
        .cache_size(CACHE)
        .flush_workers(1)
        .compaction_workers(1)
        .open()?;
    let options = PartitionCreateOptions::default().max_memtable_size(RECENT);
    let partition = keyspace.open_partition("records", options)?;
    let records = scaled(RECORDS, scale);
    load(&partition, records)?;
    serve(&partition, records, scaled(STEPS, scale))
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    work(scale).expect("the store works")
}

//! Typical use of the standard library.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::hash::BuildHasherDefault;
use std::hint::black_box;

use super::outcome::{Outcome, passes, scaled};

/// Strings formatted from parts, 64 of them kept.
pub(crate) fn strings(scale: f64) -> Outcome {
    const LANGUAGES: [&str; 4] = ["en", "de", "pt-BR", "zh-Hant"];
    let rounds = scaled(400_000, scale);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut recent: Vec<String> = vec![String::new(); 64];
    passes(2 * rounds, || {
        for i in 0..rounds as usize {
            let path = format!("user-{:08x}/session/{i}", rng.u32(..));
            let url = format!("{path}?page={}&lang={}", i % 97, LANGUAGES[i % 4]);
            recent[i % 64] = url;
        }
        black_box(&recent);
    })
}

/// Random keys, removed if present and inserted if not.
pub(crate) fn btree(scale: f64) -> Outcome {
    const KEYS: u32 = 100_000;
    let ops = scaled(400_000, scale);
    let mut rng = fastrand::Rng::with_seed(8);
    let mut map: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut key = String::new();
    passes(ops, || {
        for _ in 0..ops {
            key.clear();
            write!(key, "key-{:016x}", rng.u32(..KEYS)).unwrap();
            if map.remove(&key).is_none() {
                map.insert(key.clone(), vec![1; rng.usize(16..=256)]);
            }
        }
    })
}

/// A map filled from empty: vectors that grow by one element at a time.
pub(crate) fn hashvec(scale: f64) -> Outcome {
    const KEYS: u64 = 20_000;
    let ops = scaled(1_000_000, scale);
    let mut rng = fastrand::Rng::with_seed(9);
    passes(ops, || {
        let mut map: HashMap<u64, Vec<u32>, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        for i in 0..ops as u32 {
            map.entry(rng.u64(..KEYS)).or_default().push(i);
        }
        black_box(&map);
    })
}

/// A vector pushed from empty to 1 MiB.
pub(crate) fn vecgrow(scale: f64) -> Outcome {
    let ops = scaled(500, scale);
    passes(ops, || {
        for _ in 0..ops {
            let mut vector = Vec::new();
            for i in 0..(1u64 << 20) / 8 {
                vector.push(i);
            }
            black_box(&mut vector);
        }
    })
}

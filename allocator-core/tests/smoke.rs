//! Smoke test: the allocator serves this test program itself.

use allocator_core::Strata;
use std::collections::{BTreeMap, HashMap};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

#[test]
fn collections_and_threads() {
    let mut map = HashMap::new();
    let mut tree = BTreeMap::new();
    for i in 0..200_000u64 {
        map.insert(i, vec![i as u8; (i % 700) as usize]);
        if i % 3 == 0 {
            map.remove(&(i / 2));
        }
        tree.insert(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), format!("{i}"));
    }
    for (k, v) in &map {
        assert!(v.iter().all(|b| *b == *k as u8));
    }
    let (tx, rx) = std::sync::mpsc::channel::<Vec<u64>>();
    let reader = std::thread::spawn(move || {
        let mut sum = 0u64;
        while let Ok(v) = rx.recv() {
            sum = sum.wrapping_add(v.iter().sum::<u64>());
        }
        sum
    });
    let writers: Vec<_> = (0..4)
        .map(|t| {
            let tx = tx.clone();
            std::thread::spawn(move || {
                for i in 0..50_000u64 {
                    tx.send(vec![i + t; (i % 100) as usize]).unwrap();
                }
            })
        })
        .collect();
    drop(tx);
    for w in writers {
        w.join().unwrap();
    }
    assert!(reader.join().unwrap() > 0);
    let mut big: Vec<u8> = Vec::new();
    for i in 0..20_000_000u32 {
        big.push(i as u8);
    }
    assert!(big.iter().enumerate().all(|(i, b)| *b == i as u8));
    drop((map, tree, big));
    let stats = Strata::stats();
    eprintln!(
        "{} live, {} mapped, {} free, {} purged, {} meta",
        stats.live_bytes(),
        stats.mapped_bytes(),
        stats.free_bytes(),
        stats.purged_bytes(),
        stats.metadata_bytes()
    );
}

//! The allocator's main paths under criterion, to detect regressions during
//! development: `cargo bench -p benches`, or `cargo bench -p benches --bench
//! paths -- churn` for one of them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};

#[global_allocator]
static GLOBAL: allocator_core::Strata = allocator_core::Strata::new();

fn pair(c: &mut Criterion) {
    c.bench_function("pair", |b| b.iter(|| black_box(Box::new([0u64; 4]))));
}

/// Boxes allocated and then dropped, youngest or oldest first.
fn orders(c: &mut Criterion) {
    for (name, live) in [("lifo", 1000), ("fifo", 1000), ("fifo", 20_000)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(live));
        group.bench_function(BenchmarkId::from_parameter(live), |b| {
            let mut boxes: Vec<Box<[u64; 4]>> = Vec::with_capacity(live as usize);
            b.iter(|| {
                boxes.extend((0..live).map(|i| Box::new([i; 4])));
                black_box(boxes.as_mut_ptr());
                if name == "lifo" {
                    while boxes.pop().is_some() {}
                } else {
                    boxes.clear();
                }
            });
        });
        group.finish();
    }
}

/// Replaces a random live block of 16 to 256 bytes.
fn churn(c: &mut Criterion) {
    let mut group = c.benchmark_group("churn");
    for live in [1_000, 100_000] {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut blocks: Vec<Vec<u8>> =
            (0..live).map(|_| Vec::with_capacity(rng.usize(16..=256))).collect();
        group.bench_function(BenchmarkId::from_parameter(live), |b| {
            b.iter(|| blocks[rng.usize(..live)] = Vec::with_capacity(rng.usize(16..=256)));
        });
    }
    group.finish();
}

/// A vector that grows from empty by doubling, with every byte written.
fn realloc(c: &mut Criterion) {
    let mut group = c.benchmark_group("realloc");
    for size in [1usize << 10, 64 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                let mut vector: Vec<u8> = Vec::new();
                while vector.len() < size {
                    vector.extend_from_slice(&[1; 64]);
                }
                black_box(vector)
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    pair(&mut criterion);
    orders(&mut criterion);
    churn(&mut criterion);
    realloc(&mut criterion);
    criterion.final_summary();
}

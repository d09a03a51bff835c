//! Common allocator benchmarks, reimplemented with C's `malloc` family.
//!
//! Each is a fixed amount of work from fixed seeds, whatever the allocator and
//! the scheduling of threads: it returns a checksum over all freed blocks,
//! which must be the same everywhere. Vectors and threads use the same
//! `malloc`, because a Rust program without a global allocator of its own uses
//! that of the process.

pub(crate) mod parts;

pub(crate) mod block;

mod alloc_test;
mod cache;
mod fixed;
mod larson;
mod mstress;
mod rptest;
mod shbench;
mod threadtest;
mod xmalloc;

/// A workload with its number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its description.
    pub what: &'static str,
    work: fn(f64) -> u64,
}

impl Workload {
    /// Runs the workload with `scale` times the usual amount of work; returns
    /// the checksum.
    pub fn run(&self, scale: f64) -> u64 {
        (self.work)(scale)
    }
}

const fn row(name: &'static str, what: &'static str, work: fn(f64) -> u64) -> Workload {
    Workload { name, what, work }
}

/// Every workload.
pub const WORKLOADS: &[Workload] = &[
    row("larson2", "random blocks replaced, array to a new thread; 2 at once", |s| {
        larson::run(2, s)
    }),
    row("larson8", "the same, 8 at once", |s| larson::run(8, s)),
    row("xmalloc4", "2 threads allocate batches, 2 others free them", |s| xmalloc::run(2, s)),
    row("mstress2", "short-lived threads, trees of objects, some swapped; 2 at once", |s| {
        mstress::run(2, s)
    }),
    row("mstress8", "the same, 8 at once", |s| mstress::run(8, s)),
    row("rptest4", "sizes 16..=8000, batches to the next of 4 threads", |s| rptest::run(4, s)),
    row("cache-scratch2", "inherited block freed, own ones written; 2 threads", |s| {
        cache::scratch(2, s)
    }),
    row("cache-thrash2", "own small blocks allocated, written, freed; 2 threads", |s| {
        cache::thrash(2, s)
    }),
    row("threadtest2", "10,000 blocks allocated, then freed; 2 threads", |s| threadtest::run(2, s)),
    row("threadtest4", "the same, 4 threads", |s| threadtest::run(4, s)),
    row("shbench1", "bursts of mixed sizes, a third lives on; 1 thread", |s| shbench::run(1, s)),
    row("shbench4", "the same, 4 threads", |s| shbench::run(4, s)),
    row("alloc-test1", "random replacement, power-law sizes; 1 thread", |s| alloc_test::run(1, s)),
    row("alloc-test4", "the same, 4 threads", |s| alloc_test::run(4, s)),
    row("glibc-simple", "runs of 1 to 1,600 blocks of one size; 1 thread", |s| fixed::run(1, s)),
    row("glibc-thread4", "the same, 4 threads", |s| fixed::run(4, s)),
];

/// The workload of this name.
pub fn find(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sum_is_the_same_in_every_run_and_another_for_other_work() {
        for workload in WORKLOADS {
            let sum = workload.run(0.01);
            assert_eq!(workload.run(0.01), sum, "{}", workload.name);
            assert_ne!(workload.run(0.05), sum, "{}", workload.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (n, workload) in WORKLOADS.iter().enumerate() {
            assert!(WORKLOADS[n + 1..].iter().all(|other| other.name != workload.name));
            assert!(find(workload.name).is_some());
        }
        assert!(find("nothing").is_none());
    }
}

//! The same work for any number of threads, and what the machine takes for a cache line that
//! changes hands: from these, costs on larger machines are predicted.

use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::block::Block;
use super::churn::Churn;
use super::outcome::{Outcome, scaled};
use super::sharing::exchange;
use super::team::team;

/// Work of so many threads.
#[derive(Clone, Copy, Debug)]
pub struct Scaling {
    /// Its name on the command line.
    pub name: &'static str,
    /// Description of one operation.
    pub what: &'static str,
    /// Operations of a thread in a pass, at scale 1.
    pub each: u64,
    /// Cache lines of the program's own that any thread may have written last, in an operation.
    pub lines: f64,
    work: fn(threads: usize, each: u64) -> Outcome,
}

impl Scaling {
    /// Runs it on so many threads. The outcome's times are those of an operation of one thread:
    /// the same on any number, where nothing is shared.
    pub fn run(&self, threads: usize, scale: f64) -> Outcome {
        let outcome = (self.work)(threads, scaled(self.each, scale));
        let of_one = |ns: f64| ns * threads as f64;
        let (best_ns, first_ns) = (of_one(outcome.best_ns), of_one(outcome.first_ns));
        Outcome { best_ns, first_ns, ..outcome }
    }
}

const fn scaling(
    name: &'static str,
    what: &'static str,
    each: u64,
    work: fn(usize, u64) -> Outcome,
) -> Scaling {
    Scaling { name, what, each, lines: 0.0, work }
}

/// Every row.
pub const SCALINGS: &[Scaling] = &[
    scaling("small", "a random one of 5,000 own blocks of 16..=256 B replaced", 2_000_000, small),
    scaling("spans", "20,000 own blocks of 64 B allocated, then freed", 2_000_000, spans),
    scaling("runs", "one of 8 own buffers of 36 to 300 KiB replaced", 400_000, runs),
    scaling("huge", "4 MiB allocated and freed", 400_000, huge),
    Scaling {
        // The slot, and the block that was there.
        lines: 2.0,
        ..scaling("everyone", "another thread's block freed, one stored", 500_000, everyone)
    },
];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Scaling> {
    SCALINGS.iter().find(|row| row.name == name)
}

fn small(threads: usize, each: u64) -> Outcome {
    let make = |thread| Churn::new(5_000, 20 + thread as u64);
    team(threads, threads as u64 * each, make, |_, churn: &mut Churn| churn.run(each))
}

fn spans(threads: usize, each: u64) -> Outcome {
    const LIVE: u64 = 20_000;
    let rounds = each.div_ceil(LIVE);
    let make = |_| Vec::with_capacity(LIVE as usize);
    team(threads, threads as u64 * rounds * LIVE, make, |_, blocks: &mut Vec<Box<[u64; 8]>>| {
        for _ in 0..rounds {
            blocks.extend((0..LIVE).map(|n| Box::new([n; 8])));
            black_box(&mut *blocks).clear();
        }
    })
}

fn runs(threads: usize, each: u64) -> Outcome {
    const HELD: usize = 8;
    let make = |thread| {
        let mut rng = fastrand::Rng::with_seed(30 + thread as u64);
        let held: Vec<Block> = (0..HELD).map(|_| Block::new(buffer(&mut rng))).collect();
        (held, rng)
    };
    team(threads, threads as u64 * each, make, |_, (held, rng)| {
        for n in 0..each as usize {
            held[n % HELD] = Block::new(buffer(rng));
        }
    })
}

fn buffer(rng: &mut fastrand::Rng) -> usize {
    rng.usize(36 << 10..=300 << 10)
}

fn huge(threads: usize, each: u64) -> Outcome {
    team(
        threads,
        threads as u64 * each,
        |_| (),
        |_, ()| {
            for _ in 0..each {
                black_box(Block::new(4 << 20));
            }
        },
    )
}

fn everyone(threads: usize, each: u64) -> Outcome {
    exchange(threads, 20_000, each)
}

/// What the machine takes.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Nanoseconds of a locked step on a line that no other processor has.
    pub own_ns: f64,
    /// Nanoseconds until a line that another processor wrote is here.
    pub transfer_ns: f64,
    /// How much longer two threads take at once that share nothing but the machine.
    pub slowdown: f64,
}

/// A word with a line to itself, and the line that a processor loads with it.
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    const fn new() -> Self {
        Line(AtomicU64::new(0))
    }
}

/// Measures the machine.
pub fn machine(scale: f64) -> Machine {
    let rounds = scaled(1_000_000, scale);
    let alone = walks(1, rounds);
    Machine {
        own_ns: own(rounds),
        transfer_ns: transfer(rounds / 4),
        slowdown: walks(2, rounds) / alone,
    }
}

fn own(rounds: u64) -> f64 {
    let line = Line::new();
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(&line).0.fetch_add(1, Ordering::Relaxed);
    }
    start.elapsed().as_secs_f64() * 1e9 / rounds as f64
}

/// Two threads take turns: each waits until the other has counted.
fn transfer(rounds: u64) -> f64 {
    let (line, gate) = (Line::new(), Barrier::new(2));
    let turn = |odd: u64| {
        gate.wait();
        let start = Instant::now();
        for n in 0..rounds {
            let mine = 2 * n + odd;
            while line.0.load(Ordering::Acquire) != mine {
                spin_loop();
            }
            line.0.store(mine + 1, Ordering::Release);
        }
        start.elapsed().as_secs_f64() * 1e9 / (2 * rounds) as f64
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| turn(1));
        let mine = turn(0);
        other.join().map_or(mine, |other| mine.max(other))
    })
}

/// Nanoseconds of a step of threads that each walk through an array of their own.
fn walks(threads: usize, rounds: u64) -> f64 {
    const WORDS: usize = 32 << 10;
    let make = |thread| {
        let mut rng = fastrand::Rng::with_seed(50 + thread as u64);
        (0..WORDS).map(|_| rng.usize(..WORDS)).collect::<Vec<usize>>()
    };
    let outcome = team(threads, threads as u64 * rounds, make, |_, next: &mut Vec<usize>| {
        let mut at = 0;
        for n in 0..rounds as usize {
            at = (next[at] + n) % WORDS;
            next[at] ^= n & 1;
        }
        black_box(at);
    });
    outcome.best_ns * threads as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_runs_on_any_number_of_threads() {
        for row in SCALINGS {
            for threads in [1, 3] {
                let outcome = row.run(threads, 0.0001);
                assert!(outcome.best_ns > 0.0 && outcome.best_ns <= outcome.first_ns, "{row:?}");
            }
        }
    }

    #[test]
    fn the_machine_is_measured() {
        let Machine { own_ns, transfer_ns, slowdown } = machine(0.01);
        assert!(own_ns > 0.0 && transfer_ns > 0.0 && slowdown > 0.0);
    }
}

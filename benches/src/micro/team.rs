//! Threads that start each pass together.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::outcome::{Outcome, PASSES, rss_kib};

/// Runs `pass` on `threads` threads at once: a warm-up, then the timed passes.
/// Each thread owns a state, which stays live until memory has been measured.
///
/// A pass lasts from the first thread's start to the last one's end, and the
/// time per operation is that time divided by `ops`, the operations of all
/// threads together.
pub(crate) fn team<S>(
    threads: usize,
    ops: u64,
    make: impl Fn(usize) -> S + Sync,
    pass: impl Fn(usize, &mut S) + Sync,
) -> Outcome {
    let gate = Barrier::new(threads);
    let rss = AtomicU64::new(0);
    let member = |thread: usize| {
        let mut state = make(thread);
        let mut spans = Vec::with_capacity(PASSES);
        for n in 0..=PASSES {
            gate.wait();
            let start = Instant::now();
            pass(thread, &mut state);
            if n > 0 {
                spans.push((start, Instant::now()));
            }
        }
        if gate.wait().is_leader() {
            rss.store(rss_kib(), Ordering::Relaxed);
        }
        gate.wait();
        drop(state);
        spans
    };
    let spans: Vec<Vec<(Instant, Instant)>> = thread::scope(|scope| {
        let member = &member;
        let running: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || member(thread))).collect();
        running.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let seconds: Vec<f64> = (0..PASSES)
        .map(|n| {
            let start = spans.iter().map(|s| s[n].0).min().unwrap();
            let end = spans.iter().map(|s| s[n].1).max().unwrap();
            (end - start).as_secs_f64()
        })
        .collect();
    Outcome::new(ops, &seconds, rss.into_inner())
}

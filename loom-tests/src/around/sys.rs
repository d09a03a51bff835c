//! Replaces the system: sleeping and waking as a futex does it, and the abort.

use std::collections::HashMap;
use std::sync::Arc;

use loom::sync::atomic::AtomicU32;
use loom::sync::{Condvar, Mutex};

use crate::model;

loom::lazy_static! {
    /// The sleeping threads, by the address of the word.
    static ref SLEEPERS: Mutex<HashMap<usize, Arc<Condvar>>> = Mutex::new(HashMap::new());
}

fn bed(sleepers: &mut HashMap<usize, Arc<Condvar>>, word: &AtomicU32) -> Arc<Condvar> {
    sleepers
        .entry(core::ptr::from_ref(word).addr())
        .or_insert_with(|| Arc::new(Condvar::new()))
        .clone()
}

/// Sleeps if `word` is still `seen`. For a thread that wakes others, the check and the
/// start of the sleep are one step.
pub(crate) fn futex_wait(word: &AtomicU32, seen: u32) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    // A read-modify-write reads the newest value, as the kernel does.
    if word.fetch_or(0, core::sync::atomic::Ordering::Relaxed) != seen {
        return;
    }
    model::note("slept");
    let bed = bed(&mut sleepers, word);
    drop(bed.wait(sleepers).unwrap());
}

/// Wakes one thread that sleeps on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    bed(&mut sleepers, word).notify_one();
}

/// Nothing to prefetch.
pub(crate) fn prefetch(_line: *const u8) {}

/// So late that a thread that has done nothing yet counts as asleep.
pub(crate) fn monotonic_ms() -> u64 {
    1_000
}

pub(crate) fn write_stderr(text: &[u8]) {
    eprint!("{}", String::from_utf8_lossy(text));
}

pub(crate) fn abort() -> ! {
    panic!("the allocator ended the process");
}

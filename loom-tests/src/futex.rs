//! Sleeping on a word and waking, as a futex does it.

use std::collections::HashMap;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use crate::model;

loom::lazy_static! {
    /// The sleeping threads, by the address of the word.
    static ref SLEEPERS: Mutex<HashMap<usize, Arc<Condvar>>> = Mutex::new(HashMap::new());
}

fn bed(sleepers: &mut HashMap<usize, Arc<Condvar>>, at: usize) -> Arc<Condvar> {
    sleepers.entry(at).or_insert_with(|| Arc::new(Condvar::new())).clone()
}

/// Sleeps on the word at an address if it is still as seen. For a thread that wakes others, the
/// check and the start of the sleep are one step.
pub(crate) fn wait(at: usize, is_as_seen: impl FnOnce() -> bool) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    if !is_as_seen() {
        return;
    }
    model::note("slept");
    let bed = bed(&mut sleepers, at);
    drop(bed.wait(sleepers).unwrap());
}

/// Wakes one thread that sleeps there.
pub(crate) fn wake(at: usize) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    bed(&mut sleepers, at).notify_one();
}

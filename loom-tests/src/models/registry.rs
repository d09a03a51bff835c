//! The list of threads' caches: threads begin and end, take the records of ended ones, and others
//! walk over all of them meanwhile. A cache has one thread at a time, and no record is lost.

use crate::active_twin::{set_thread_token, thread_token};
use crate::base::geometry::CACHE_BYTES;
use crate::heaps::heap_table;
use crate::model::{Model, outcome};
use crate::pages::helped;
use crate::sys;
use crate::thread::registry;
use crate::thread::slow_path::SlowPath;
use crate::thread::tls;
use crate::world::{self, spawn};

/// Two threads live, while a third walks over the caches. The second takes the record of the
/// first, or makes one.
pub(super) static REGISTRY: Model = Model {
    name: "registry",
    preemptions: Some(2),
    executions: 100,
    outcomes: &[
        "1 records, 0 seen",
        "1 records, 1 seen",
        "2 records, 0 seen",
        "2 records, 1 seen",
        "2 records, 2 seen",
    ],
    body: lives,
};

/// A thread begins and ends, while another purges the caches of ended threads: there is one.
pub(super) static REGISTRY_PURGE: Model = Model {
    name: "registry_purge",
    preemptions: Some(3),
    executions: 100,
    outcomes: &[
        "1 records, purged 0 and 1",
        "1 records, purged 1 and 0",
        "1 records, purged 1 and 1",
        "2 records, purged 1 and 1",
    ],
    body: purged,
};

/// A thread ended without its hook. One with the same token but another stack gets a record of
/// its own. Then one with the same stack takes the record, while another lives.
pub(super) static REGISTRY_LOST: Model = Model {
    name: "registry_lost",
    preemptions: Some(3),
    executions: 100,
    outcomes: &["the other has its own", "the other took it then"],
    body: lost,
};

/// The calling thread, on this stack, gets a cache, and uses it. Returns its id.
fn begin(place: usize) -> u32 {
    tls::begin_at(place);
    let mut slow = SlowPath::enter();
    let cache = registry::get_or_create(&mut slow).expect("there is memory");
    cache.work();
    slow.leave();
    cache.id()
}

/// A whole life. Returns the id that the thread had.
fn live(place: usize) -> u32 {
    let id = begin(place);
    sys::end_thread();
    id
}

/// Ends the spare caches, and purges those of all free records. Returns how many.
fn give_back() -> usize {
    registry::end_spares(true);
    registry::purge() / CACHE_BYTES
}

/// When no thread lives: all records are free or spare. Returns how many there are.
fn check() -> usize {
    let records = registry::heaps().count();
    assert_eq!(records, heap_table::thread_ids().len(), "each id has its record");
    assert_eq!(give_back(), records, "a record is lost");
    assert_eq!(registry::threads().count(), 0, "an ended thread seems to have a cache");
    assert_eq!(helped::caches(), 0);
    records
}

fn lives() {
    world::with(0, |_| {
        let threads = [1, 2].map(|place| spawn(move || live(place)));
        let mut seen = 0;
        for (heap, cache) in registry::threads() {
            assert!(heap_table::get(heap.id()).is_some(), "a record is seen before its heap");
            assert!(cache.cached(0) <= 1);
            cache.look();
            seen += 1;
        }
        let ids = threads.map(|thread| thread.join().unwrap());
        let records = check();
        assert_eq!(records, if ids[0] == ids[1] { 1 } else { 2 });
        outcome(format!("{records} records, {seen} seen"));
    });
}

fn purged() {
    world::with(0, |_| {
        let first = spawn(|| live(1)).join().unwrap();
        let other = spawn(|| live(2));
        let caches = give_back();
        let then = other.join().unwrap();
        let after = give_back();
        let records = registry::heaps().count();
        assert_eq!(records, if then == first { 1 } else { 2 });
        // Nothing is lost, whether its memory was given back or not.
        let again = [spawn(|| begin(3)), spawn(|| begin(4))].map(|thread| thread.join().unwrap());
        assert_eq!(again.iter().filter(|id| **id as usize <= 64 + records).count(), records);
        outcome(format!("{records} records, purged {caches} and {after}"));
    });
}

fn lost() {
    world::with(0, |_| {
        let (id, token) = spawn(|| (begin(1), thread_token())).join().unwrap();
        let far = spawn(move || {
            set_thread_token(token);
            live(2)
        });
        assert_ne!(far.join().unwrap(), id, "the record of a thread with another stack");
        // Or nobody would take that of the thread with the same stack, after it.
        registry::end_spares(true);
        let same = spawn(move || {
            set_thread_token(token);
            live(1)
        });
        let other = spawn(|| live(3));
        assert_eq!(same.join().unwrap(), id, "the record of the thread that had the stack");
        let other = other.join().unwrap();
        check();
        outcome(if other == id { "the other took it then" } else { "the other has its own" });
    });
}

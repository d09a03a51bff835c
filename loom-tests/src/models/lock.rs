//! The lock: three threads take it, and two of them may sleep. Its holder does not
//! wait for itself, and two signal handlers do not wait for each other.

use loom::sync::Arc;

use crate::base::lock::Lock;
use crate::base::nested;
use crate::base::sync::Guarded;
use crate::model::{Model, note, noted, outcome};
use crate::world::spawn;

/// Three threads count under the lock.
pub(super) static LOCK: Model = Model {
    name: "lock",
    preemptions: Some(3),
    executions: 2_000,
    outcomes: &["all were awake", "one slept"],
    body: lock,
};

struct Counter {
    lock: Lock,
    count: Guarded<u32>,
}

// SAFETY: the count is touched under the lock.
unsafe impl Sync for Counter {}
// SAFETY: as above.
unsafe impl Send for Counter {}

fn lock() {
    let counter = Arc::new(Counter { lock: Lock::new(), count: Guarded::new(0) });
    let count = |counter: &Counter| {
        let held = counter.lock.lock().unwrap();
        if counter.lock.try_lock().is_some() {
            note("held twice");
        }
        // SAFETY: the lock is held; loom reports it if that is not enough.
        counter.count.with(|count| unsafe { *count += 1 });
        drop(held);
    };
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let counter = counter.clone();
            spawn(move || count(&counter))
        })
        .collect();
    count(&counter);
    let held = counter.lock.lock().unwrap();
    // As a signal handler does that interrupts the holder.
    assert!(counter.lock.lock().is_none() && counter.lock.is_held_here());
    drop(held);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(!noted("held twice"));
    assert!(!counter.lock.is_held_here());
    let held = counter.lock.try_lock().expect("nobody has the lock");
    // SAFETY: the lock is held.
    counter.count.with(|count| assert_eq!(unsafe { *count }, 3));
    drop(held);
    outcome(if noted("slept") { "one slept" } else { "all were awake" });
}

/// Two threads hold a lock each. A signal handler in each needs the other's lock.
pub(super) static HANDLERS: Model = Model {
    name: "handlers",
    preemptions: None,
    executions: 20,
    outcomes: &["both got it", "one gave up", "both gave up"],
    body: handlers,
};

fn handlers() {
    let locks = Arc::new([Lock::new(), Lock::new()]);
    let interrupted = |locks: &[Lock; 2], mine: usize| {
        let _held = locks[mine].lock().unwrap();
        nested::run(|| locks[1 - mine].lock().is_some())
    };
    let other = {
        let locks = locks.clone();
        spawn(move || interrupted(&locks, 1))
    };
    let got = [interrupted(&locks, 0), other.join().unwrap()];
    assert!(locks.iter().all(|lock| lock.try_lock().is_some()));
    outcome(match got {
        [true, true] => "both got it",
        [false, false] => "both gave up",
        _ => "one gave up",
    });
}

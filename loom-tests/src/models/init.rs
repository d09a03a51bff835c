//! Set-up: two threads need it, the first attempt fails, and a third thread only
//! checks whether it is done.

use loom::sync::Arc;

use crate::base::once::{Done, Once};
use crate::base::sync::Guarded;
use crate::model::{Model, outcome};
use crate::world::spawn;

/// The first attempt fails; the next one fills a table for each thread.
pub(super) static INIT: Model = Model {
    name: "init",
    preemptions: Some(3),
    executions: 700,
    outcomes: &[
        "[ByOthers, ByUs] false",
        "[ByOthers, ByUs] true",
        "[ByUs, ByOthers] false",
        "[ByUs, ByOthers] true",
    ],
    body: init,
};

struct Shared {
    once: Once,
    attempts: Guarded<u32>,
    tables: [Guarded<u32>; 3],
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

fn look(table: &Guarded<u32>) {
    // SAFETY: each thread reads its own table, after set-up.
    table.with(|table| assert_eq!(unsafe { *table }, 7, "set-up was seen half done"));
}

fn init() {
    let shared = Arc::new(Shared {
        once: Once::new(),
        attempts: Guarded::new(0),
        tables: core::array::from_fn(|_| Guarded::new(0)),
    });
    let threads: Vec<_> = (0..2)
        .map(|i| {
            let shared = shared.clone();
            spawn(move || {
                let work = || {
                    // SAFETY: one thread at a time runs this.
                    let attempt = shared.attempts.with(|attempts| unsafe {
                        *attempts += 1;
                        *attempts
                    });
                    // As a signal handler does that interrupts the work. Not earlier: it would
                    // see what the thread before published.
                    assert_eq!(shared.once.run(|| true), Done::Not);
                    if attempt == 1 {
                        return false;
                    }
                    assert_eq!(attempt, 2, "set-up ran twice");
                    for table in &shared.tables {
                        // SAFETY: no thread reads a table before set-up is done.
                        table.with(|table| unsafe { *table = 7 });
                    }
                    true
                };
                let mut done = shared.once.run(work);
                if done == Done::Not {
                    done = shared.once.run(work);
                }
                look(&shared.tables[i]);
                assert!(shared.once.is_done());
                done
            })
        })
        .collect();
    let seen = shared.once.is_done();
    if seen {
        look(&shared.tables[2]);
    }
    let done: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    outcome(format!("{done:?} {seen}"));
}

//! The helper's state: two threads need the helper, which works and leaves meanwhile.

use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{AcqRel, Relaxed},
};

use crate::background::helper_state::{HelperState, Start};
use crate::model::{Model, outcome};
use crate::world::spawn;

/// There is one helper at a time, and one that was told to stay works once more.
pub(super) static HELPER: Model = Model {
    name: "helper",
    preemptions: Some(3),
    executions: 1_000,
    outcomes: &[
        "None Some(Began)",
        "Some(Began) Some(Began)",
        "Some(Began) Some(Failed)",
        "Some(Began) Some(Runs)",
        "Some(Began) Some(Stays)",
    ],
    body: helper,
};

struct Shared {
    state: HelperState,
    /// Whether the system has the task still: it goes a moment after the helper has ended.
    task: AtomicBool,
    /// What there is to do, counted.
    work: AtomicU32,
    /// How much of it the helper found in its last round.
    found: AtomicU32,
}

impl Shared {
    /// The helper.
    fn run(&self) {
        loop {
            let work = self.work.fetch_add(0, Relaxed);
            self.found.store(work, Relaxed);
            self.state.begin_leaving();
            if self.work.fetch_add(0, Relaxed) != work {
                self.state.stay();
                assert!(self.state.is_running(), "it stays, but seems to leave");
            } else if self.state.try_end() {
                break;
            }
        }
        // As the kernel does it, after all that the task did.
        self.task.swap(false, AcqRel);
    }
}

/// Has work for the helper, and waits until the task is gone, if this began it.
fn need(shared: &Arc<Shared>) -> Option<Start> {
    shared.work.fetch_add(1, Relaxed);
    if shared.state.is_running() {
        return None;
    }
    let mut task = None;
    let start = shared.state.start(|| {
        if shared.task.swap(true, AcqRel) {
            return false;
        }
        let shared = shared.clone();
        task = Some(spawn(move || shared.run()));
        true
    });
    if let Some(task) = task {
        task.join().unwrap();
    }
    Some(start)
}

fn helper() {
    let shared = Arc::new(Shared {
        state: HelperState::new(),
        task: AtomicBool::new(false),
        work: AtomicU32::new(0),
        found: AtomicU32::new(0),
    });
    let other = {
        let shared = shared.clone();
        spawn(move || need(&shared))
    };
    let starts = [need(&shared), other.join().unwrap()];
    let Shared { state, found, .. } = &*shared;
    let has_helper = |it: &&Option<Start>| matches!(it, Some(Start::Began | Start::Stays));
    let needed = starts.iter().filter(has_helper).count();
    let found = found.load(Relaxed) as usize;
    assert!(found >= needed, "{starts:?}: the helper did not look again");
    assert!(!state.is_running(), "{starts:?}: there is a state, but no helper");
    assert_eq!(state.start(|| false), Start::Failed);
    assert_eq!(state.start(|| true), Start::Began, "none can begin any more");
    let mut starts = starts.map(|start| format!("{start:?}"));
    starts.sort_unstable();
    outcome(starts.join(" "));
}

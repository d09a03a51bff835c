//! The huge block on standby: two threads free one each, while another takes what fits.

use loom::sync::Arc;

use crate::base::geometry::{CHUNK, UNIT};
use crate::base::sync::Guarded;
use crate::model::{Model, outcome};
use crate::spans::standby::{self, Freed};
use crate::world::spawn;

/// Each block is in one place: taken, on standby, or freed by the thread that put another.
pub(super) static STANDBY: Model = Model {
    name: "standby",
    preemptions: None,
    executions: 20,
    outcomes: &[
        "the first is freed, the second stays",
        "the first is freed, the second taken",
        "the second is freed, the first stays",
        "the second is freed, the first taken",
        "the first is taken, the second stays",
        "the second is taken, the first stays",
    ],
    body: standby,
};

/// A thread frees a block, while another takes whatever is there.
pub(super) static STANDBY_ANY: Model = Model {
    name: "standby_any",
    preemptions: None,
    executions: 3,
    outcomes: &["it is taken", "there is none yet"],
    body: any,
};

fn any() {
    let blocks = Arc::new(Blocks { memory: [Guarded::new(0), Guarded::new(0)] });
    let taker = {
        let blocks = blocks.clone();
        spawn(move || {
            let taken = standby::STANDBY.take_any();
            if let Some(taken) = taken {
                blocks.write(taken.index - 1, 3);
            }
            taken.is_some()
        })
    };
    assert_eq!(blocks.free(0), None);
    outcome(if taker.join().unwrap() { "it is taken" } else { "there is none yet" });
}

struct Blocks {
    /// What was last written to each block.
    memory: [Guarded<u32>; 2],
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Blocks {}
// SAFETY: as above.
unsafe impl Send for Blocks {}

impl Blocks {
    /// Uses a block. No other thread may use it at the same time.
    fn write(&self, which: usize, value: u32) {
        // SAFETY: loom reports another access at the same time.
        self.memory[which].with(|memory| unsafe { *memory = value });
    }

    /// The first and the last write of a block's user; then it is freed. Returns the block whose
    /// chunks were freed.
    fn free(&self, which: usize) -> Option<usize> {
        self.write(which, 1);
        let freed = standby::STANDBY.put(Freed { index: which + 1, bytes: CHUNK })?;
        self.write(freed.index - 1, 2);
        Some(freed.index - 1)
    }
}

fn standby() {
    let blocks = Arc::new(Blocks { memory: [Guarded::new(0), Guarded::new(0)] });
    let other = {
        let blocks = blocks.clone();
        spawn(move || blocks.free(1))
    };
    let taker = {
        let blocks = blocks.clone();
        spawn(move || {
            // For another size, it stays.
            assert_eq!(standby::STANDBY.take(2 * CHUNK, true), None);
            assert_eq!(standby::STANDBY.take(CHUNK - UNIT, false), None);
            let taken = standby::STANDBY.take(CHUNK, false)?.index - 1;
            blocks.write(taken, 3);
            Some(taken)
        })
    };
    let freed = [blocks.free(0), other.join().unwrap()];
    let taken = taker.join().unwrap();
    let left = standby::STANDBY.take_any().map(|freed| freed.index - 1);
    if let Some(left) = left {
        blocks.write(left, 4);
    }
    let mut all: Vec<_> = freed.into_iter().chain([taken, left]).flatten().collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1], "a block has two users, or none");
    let name = |which| if which == 0 { "the first" } else { "the second" };
    let told = match (freed.into_iter().flatten().next(), taken, left) {
        (Some(freed), None, Some(left)) => {
            format!("{} is freed, {} stays", name(freed), name(left))
        }
        (Some(freed), Some(taken), None) => {
            format!("{} is freed, {} taken", name(freed), name(taken))
        }
        (None, Some(taken), Some(left)) => {
            format!("{} is taken, {} stays", name(taken), name(left))
        }
        others => panic!("{others:?}"),
    };
    outcome(told);
}

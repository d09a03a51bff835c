//! Samples of the heap profile: a block is freed by another thread while the next one is entered.

use loom::sync::Arc;

use crate::model::{Model, outcome};
use crate::profile::live::Live;
use crate::world::spawn;

/// The slot that the first sample had is used for the second one only when the first was read.
pub(super) static SAMPLES: Model = Model {
    name: "samples",
    preemptions: None,
    executions: 5,
    outcomes: &["the slot is free by then", "the slot is taken still"],
    body: samples,
};

const BLOCKS: [usize; 2] = [0x1000, 0x2000];

fn samples() {
    let live = Arc::new(Live::<u32, 1, 1>::new());
    assert!(live.is_empty());
    assert!(live.insert(BLOCKS[0], 1));
    let other = {
        let live = live.clone();
        spawn(move || {
            assert!(!live.is_empty());
            assert_eq!(live.remove(BLOCKS[0]), Some(1));
        })
    };
    let entered = live.insert(BLOCKS[1], 2);
    other.join().unwrap();
    assert_eq!(live.remove(BLOCKS[0]), None, "it was removed");
    assert_eq!(live.remove(BLOCKS[1]), entered.then_some(2));
    assert!(live.is_empty());
    let told = if entered { "the slot is free by then" } else { "the slot is taken still" };
    outcome(told.to_owned());
}

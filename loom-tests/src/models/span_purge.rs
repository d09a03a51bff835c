//! Memory without a live block goes back to the system while its span is in use:
//! nobody is handed a block there meanwhile, and the span stays findable.

use core::ptr::NonNull;

use crate::base::size_class::{GRANULE, UNIT};
use crate::model::{Model, outcome};
use crate::remote::send::Boxes;
use crate::remote::span_transfer::{self, Hollowed};
use crate::world::{self, World, put, spawn, take};

/// One gives back what a span of home 1 has, while its owner takes a block there,
/// and a third thread sends one home.
pub(super) static HOLLOWING: Model = Model {
    name: "hollowing",
    preemptions: Some(3),
    executions: 1_000,
    outcomes: &[
        "Later, took 1",
        "Units(40), took 1",
        "Units(48), took 0",
        "Units(48), took 1",
        "Units(56), took 0",
        "Units(56), took 1",
    ],
    body: hollowing,
};

/// The same, while the owner ends, its spans go to home 2, and another thread
/// opens home 1 again.
pub(super) static HOLLOWING_LEAVING: Model = Model {
    name: "hollowing_leaving",
    preemptions: Some(3),
    executions: 300,
    outcomes: &["Later", "No", "Units(48)"],
    body: hollowing_leaving,
};

/// Units of a block.
const UNITS: usize = GRANULE / UNIT;

/// Gives back what the world's first span has. The system writes zeros there.
fn hollow(world: &World) -> Hollowed {
    let span = NonNull::from(&world.spans[0]);
    span_transfer::hollow(span, 1, false, world.home(2), |base, units| {
        for block in 0..world::SPAN_BLOCKS {
            let given = units >> (block * UNITS) & ((1 << UNITS) - 1);
            assert!(given == 0 || given == (1 << UNITS) - 1, "the units of a block");
            if given != 0 {
                world.touch(base.wrapping_add(block * GRANULE));
            }
        }
        units
    })
}

fn hollowing() {
    world::with(0, |world| {
        let mut sent = world.furnish(0, 1, 2);
        let kept = sent.pop().unwrap();
        let sender = spawn(move || {
            world.touch(sent[0]);
            // SAFETY: [LIVE-PINS-SPAN] the block is ours until it is sent.
            unsafe { Boxes::new().send(&mut sent) };
        });
        let searcher = spawn(move || hollow(world));
        let mut mine = take(world.home(1), 1);
        for block in &mine {
            world.touch(*block);
        }
        let hollowed = searcher.join().unwrap();
        sender.join().unwrap();
        outcome(format!("{hollowed:?}, took {}", mine.len()));
        mine.push(kept);
        world.check_holes(0, hollowed, &mine);
        assert_eq!(world.settle([mine.len(), 0]), [1, 0]);
        put(world.home(1), &mut mine);
    });
}

fn hollowing_leaving() {
    world::with(0, |world| {
        let kept = world.furnish(0, 1, 2);
        let searcher = spawn(move || hollow(world));
        let owner = spawn(move || {
            let mail = span_transfer::leave(world.home(1), world.home(2));
            Boxes::new().unpack(mail);
        });
        let hollowed = searcher.join().unwrap();
        owner.join().unwrap();
        world.home(1).reopen();
        world.check_holes(0, hollowed, &kept);
        assert_eq!(world.settle([kept.len(), 0]), [2, 0]);
        outcome(format!("{hollowed:?}"));
        put(world.home(2), &mut kept.clone());
    });
}

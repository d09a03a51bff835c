//! Units without a live block are purged while their span is in use. No thread gets a
//! block there meanwhile, and the span is not lost.

use core::ptr::NonNull;

use crate::base::geometry::{GRANULE, GRANULE_UNITS};
use crate::model::{Model, outcome};
use crate::remote::send::BatchPool;
use crate::remote::span_transfer::{self, SpanPurge};
use crate::world::{self, World, put, spawn, take};

/// One thread purges a span of heap 1 while the owner takes a block there, and a third
/// sends a block of it.
pub(super) static SPAN_PURGE: Model = Model {
    name: "span_purge",
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
    body: span_purge,
};

/// The same while the owner ends, its spans go to heap 2, and another thread reopens
/// heap 1.
pub(super) static SPAN_PURGE_ABANDONING: Model = Model {
    name: "span_purge_abandoning",
    preemptions: Some(3),
    executions: 300,
    outcomes: &["Later", "No", "Units(48)"],
    body: span_purge_abandoning,
};

/// Purges the world's first span. The system writes zeros there, which is modelled as
/// a use of the blocks.
fn purgeable_units(world: &World) -> SpanPurge {
    let span = NonNull::from(&world.chunk.spans[0]);
    span_transfer::purge_span(span, 1, false, world.heap(2), |base, units| {
        for block in 0..world::SPAN_BLOCKS {
            let given = units >> (block * GRANULE_UNITS) & ((1 << GRANULE_UNITS) - 1);
            assert!(
                given == 0 || given == (1 << GRANULE_UNITS) - 1,
                "a block is purged as a whole"
            );
            if given != 0 {
                world.touch(base.wrapping_add(block * GRANULE));
            }
        }
        units
    })
}

fn span_purge() {
    world::with(0, |world| {
        let mut sent = world.furnish(0, 1, 2);
        let kept = sent.pop().unwrap();
        let sender = spawn(move || {
            world.touch(sent[0]);
            // SAFETY: [LIVE-PINS-SPAN] the block is live until it is sent.
            unsafe { BatchPool::new().send(&mut sent) };
        });
        let searcher = spawn(move || purgeable_units(world));
        let mut mine = take(world.heap(1), 1);
        for block in &mine {
            world.touch(*block);
        }
        let made_holes = searcher.join().unwrap();
        sender.join().unwrap();
        outcome(format!("{made_holes:?}, took {}", mine.len()));
        mine.push(kept);
        world.check_holes(0, made_holes, &mine);
        assert_eq!(world.settle([mine.len(), 0]), [1, 0]);
        put(world.heap(1), &mut mine);
    });
}

fn span_purge_abandoning() {
    world::with(0, |world| {
        let kept = world.furnish(0, 1, 2);
        let searcher = spawn(move || purgeable_units(world));
        let owner = spawn(move || {
            let batches = span_transfer::abandon(world.heap(1), world.heap(2));
            BatchPool::new().recycle(batches);
        });
        let made_holes = searcher.join().unwrap();
        owner.join().unwrap();
        world.heap(1).reopen();
        world.check_holes(0, made_holes, &kept);
        assert_eq!(world.settle([kept.len(), 0]), [2, 0]);
        outcome(format!("{made_holes:?}"));
        put(world.heap(2), &mut kept.clone());
    });
}

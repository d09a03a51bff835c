//! Units without a live block are purged while their span is in use. No thread gets a
//! block there meanwhile, and the span is not lost.

use core::ptr::NonNull;

use crate::base::geometry::{GRANULE, GRANULE_UNITS};
use crate::model::{Model, outcome};
use crate::remote::send::BatchPool;
use crate::remote::span_transfer::{self, SpanPurge};
use crate::spans::page_map;
use crate::spans::span::NO_HEAP;
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

/// One thread evicts a span of heap 1, which goes to heap 2, while the owner takes two blocks
/// there, and a third sends one.
pub(super) static EVICTING: Model = Model {
    name: "evicting",
    preemptions: Some(3),
    executions: 300,
    outcomes: &["evicted, took 2", "stays, took 2"],
    body: evicting,
};

/// The same span is stolen by heap 3 meanwhile.
pub(super) static EVICTING_STOLEN: Model = Model {
    name: "evicting_stolen",
    preemptions: Some(3),
    executions: 10,
    outcomes: &["evicted", "stays"],
    body: evicting_stolen,
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

fn evicting() {
    world::with(0, |world| {
        world.furnish(1, 1, 0);
        let mut sent = world.furnish(0, 1, 2);
        let kept = sent.pop().unwrap();
        let sender = spawn(move || {
            world.touch(sent[0]);
            // SAFETY: [LIVE-PINS-SPAN] the block is live until it is sent.
            unsafe { BatchPool::new().send(&mut sent) };
        });
        let searcher = spawn(move || {
            span_transfer::evict(NonNull::from(&world.chunk.spans[0]), world.heap(2)).is_some()
        });
        let mut mine = take(world.heap(1), 2);
        for block in &mine {
            world.touch(*block);
        }
        let evicted = searcher.join().unwrap();
        sender.join().unwrap();
        outcome(format!("{}, took {}", if evicted { "evicted" } else { "stays" }, mine.len()));
        mine.push(kept);
        let of_first = |block: &&mut *mut u8| {
            core::ptr::eq(page_map::span_of(**block).as_ptr(), &world.chunk.spans[0])
        };
        let out = mine.iter_mut().filter(of_first).count();
        let owner = world.settle([out, mine.len() - out])[0];
        assert_eq!(owner, if evicted { 2 } else { 1 });
        // SAFETY: [LIVE-PINS-SPAN] the blocks are live until they are sent.
        unsafe { BatchPool::new().send(&mut mine) };
        let spans = world.settle([0, 0]);
        assert!(spans.iter().all(|heap| *heap == NO_HEAP || *heap <= 2));
    });
}

fn evicting_stolen() {
    world::with(0, |world| {
        world.furnish(1, 1, 0);
        let mut mine = world.furnish(0, 1, 2);
        let searcher = spawn(move || {
            span_transfer::evict(NonNull::from(&world.chunk.spans[0]), world.heap(2)).is_some()
        });
        span_transfer::steal(world.heap(1), world.heap(3), world::CLASS);
        let evicted = searcher.join().unwrap();
        outcome(String::from(if evicted { "evicted" } else { "stays" }));
        let owner = world.settle([mine.len(), 0])[0];
        assert!(if evicted { owner == 2 } else { [1, 3].contains(&owner) });
        put(world.heap(owner), &mut mine);
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

//! The tail of a huge block: one thread purges it, while the owner resizes the block and
//! frees it. If it got it back at once, it uses and frees it again.

use loom::sync::Arc;

use crate::base::sync::Guarded;
use crate::model::{Model, note, noted, outcome};
use crate::spans::tail::{Owner, Tail};
use crate::world::spawn;

/// The chunks of the block are freed once: by the owner, or by the thread that purges.
pub(super) static TAIL: Model = Model {
    name: "tail",
    preemptions: None,
    executions: 40,
    outcomes: &[
        "the owner frees, purged, not resized",
        "the owner frees, purged, resized",
        "the owner frees, untouched, resized",
        "the purger frees, not resized",
        "the purger frees, resized",
    ],
    body: tail,
};

struct Block {
    tail: Tail,
    /// Where the tail begins.
    extent: Guarded<u32>,
    /// The memory of the block, and that of the tail.
    memory: [Guarded<u32>; 2],
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Block {}
// SAFETY: as above.
unsafe impl Send for Block {}

impl Block {
    fn write(&self, which: usize, value: u32) {
        // SAFETY: loom reports another access at the same time.
        self.memory[which].with(|memory| unsafe { *memory = value });
    }

    fn set_extent(&self, value: u32) {
        // SAFETY: as above.
        self.extent.with(|extent| unsafe { *extent = value });
    }

    /// Frees the chunks: somebody else may use them from now on.
    fn free_chunks(&self) {
        (0..2).for_each(|which| self.write(which, 9));
        self.set_extent(0);
    }
}

fn tail() {
    let block = Arc::new(Block {
        tail: Tail::new(0),
        extent: Guarded::new(0),
        memory: [Guarded::new(0), Guarded::new(0)],
    });
    let purger = {
        let block = block.clone();
        spawn(move || {
            let Some(bytes) = block.tail.begin_purge() else { return false };
            // SAFETY: loom reports another access at the same time.
            assert_ne!(block.extent.with(|extent| unsafe { *extent }), 0);
            block.write(1, 0);
            note("purged");
            let freed = block.tail.end_purge(bytes, 0);
            if freed {
                block.free_chunks();
            }
            freed
        })
    };
    block.set_extent(1);
    block.tail.set(8);
    let resized = block.tail.take();
    if let Some(bytes) = resized {
        block.set_extent(2);
        block.tail.set(bytes);
    }
    block.write(0, 7);
    let mut owner = block.tail.free();
    if let Owner::Frees(bytes) = owner {
        assert_eq!(block.tail.free(), Owner::Freed);
        assert_eq!(block.tail.of_freed(), bytes);
        block.set_extent(3);
        block.tail.set_again(8);
        block.write(0, 8);
        owner = block.tail.free();
    }
    if let Owner::Frees(_) = owner {
        block.free_chunks();
    }
    let by_purger = purger.join().unwrap();
    assert_ne!(owner, Owner::Freed);
    assert_eq!(by_purger, owner == Owner::Leaves, "freed twice, or never");
    let who = match owner {
        Owner::Leaves => "the purger frees",
        _ if noted("purged") => "the owner frees, purged",
        _ => "the owner frees, untouched",
    };
    outcome(format!("{who}, {}", if resized.is_some() { "resized" } else { "not resized" }));
}

//! Granules of a chunk: claimed, purged and returned; the release of a chunk; the
//! hints of the free-space index; and the release of empty spans.

use core::ptr;

use loom::sync::Arc;
use loom::thread::JoinHandle;

use crate::base::bits;
use crate::base::geometry::SPAN_GRANULES;
use crate::base::sync::Guarded;
use crate::model::{Model, outcome};
use crate::pages::arena;
use crate::pages::free_space_index::{FreeSpaceIndex, LENGTHS};
use crate::pages::tables::Tables;
use crate::remote::send::BatchPool;
use crate::spans::granules::Granules;
use crate::world::{self, spawn};

/// Two threads claim a run each, use it and return it, while a third purges.
pub(super) static GRANULES: Model = Model {
    name: "granules",
    preemptions: Some(3),
    executions: 1_000,
    outcomes: &[
        "[Some(false), Some(false)], purged 0",
        "[Some(false), Some(false)], purged 16",
        "[Some(false), Some(false)], purged 8",
        "[Some(false), Some(true)], purged 0",
        "[Some(false), Some(true)], purged 8",
        "[Some(true), Some(false)], purged 0",
        "[Some(true), Some(false)], purged 8",
    ],
    body: granules,
};

/// The last run is returned while one thread claims a run and another releases the
/// chunk if it is free, and maps it again.
pub(super) static RELEASE: Model = Model {
    name: "release",
    preemptions: None,
    executions: 2_000,
    outcomes: &[
        "released: false, claimed run: Some(0)",
        "released: false, claimed run: Some(1)",
        "released: true, claimed run: None",
        "released: true, claimed run: Some(0)",
        "released: true, claimed run: Some(1)",
    ],
    body: release,
};

/// One thread returns a run while two threads look for one. At first they find the hint
/// of a run that is no longer free.
pub(super) static INDEX_CLAIM: Model = Model {
    name: "index_claim",
    preemptions: Some(3),
    executions: 15_000,
    outcomes: &["after", "meanwhile"],
    body: free_space,
};

/// A thread that finds a hint sees the free granules that it stands for.
pub(super) static INDEX_FIND: Model = Model {
    name: "index_find",
    preemptions: None,
    executions: 6,
    outcomes: &["found", "not found"],
    body: index_find,
};

/// The same, where the word of the hint has another bit already, so that its top is not written.
pub(super) static INDEX_FIND_IN_WORD: Model = Model {
    name: "index_find_in_word",
    preemptions: None,
    executions: 3,
    outcomes: &["found", "not found"],
    body: index_find_in_word,
};

/// A thread gives the last granules of a chunk back, while another claims chunks that are
/// free as a whole: one of its two attempts gets it.
pub(super) static WHOLE_CHUNK: Model = Model {
    name: "whole_chunk",
    preemptions: None,
    executions: 6,
    outcomes: &["after", "meanwhile"],
    body: whole_chunk,
};

/// Two threads send the last two blocks of a span. A third claims granules for a span
/// of its own, perhaps the same granules.
pub(super) static EMPTIES: Model = Model {
    name: "empties",
    preemptions: Some(3),
    executions: 1_000,
    outcomes: &["the emptied one", "the other"],
    body: empties,
};

const RUN: u64 = 0xff;

/// Whether the memory of some runs of eight granules was written.
struct Memory {
    granules: Granules,
    mapped: Guarded<bool>,
    runs: [Guarded<bool>; 2],
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

impl Memory {
    fn new(free: u64) -> Arc<Self> {
        let memory = Arc::new(Memory {
            granules: Granules::new(free),
            mapped: Guarded::new(true),
            runs: core::array::from_fn(|_| Guarded::new(false)),
        });
        memory.granules.free_hint();
        memory
    }

    /// Writes to a run, or purges it. Returns whether it had been written.
    fn set(&self, run: usize, written: bool) -> bool {
        // SAFETY: the caller has claimed the run, so its memory is the caller's.
        self.runs[run].with(|it| unsafe { core::mem::replace(&mut *it, written) })
    }
}

fn granules() {
    let memory = Memory::new(0xffff);
    let claimers: Vec<_> = (0..2)
        .map(|_| {
            let memory = memory.clone();
            spawn(move || {
                let (first, dirty) = memory.granules.claim(SPAN_GRANULES)?;
                let written = memory.set(first / SPAN_GRANULES, true);
                assert_eq!(dirty, if written { RUN << first } else { 0 }, "{first}");
                memory.granules.give_back(RUN << first, RUN << first);
                Some(written)
            })
        })
        .collect();
    let clean = memory.granules.clean(memory.granules.dirty_hint(), |first, len| {
        if first == 0 {
            // The system refuses.
            return false;
        }
        for run in first / SPAN_GRANULES..(first + len) / SPAN_GRANULES {
            assert!(memory.set(run, false), "a clean run was purged");
        }
        true
    });
    memory.granules.give_back(clean.claimed, clean.dirty);
    let got: Vec<_> = claimers.into_iter().map(|claimer| claimer.join().unwrap()).collect();
    assert_eq!(memory.granules.free_hint(), 0xffff);
    let dirty = memory.granules.dirty_hint();
    for run in 0..2 {
        let marked = dirty >> (run * SPAN_GRANULES) & RUN;
        assert_eq!(marked, if memory.set(run, false) { RUN } else { 0 });
    }
    outcome(format!("{got:?}, purged {}", clean.claimed.count_ones()));
}

fn release() {
    let memory = Memory::new(!RUN);
    let giver = {
        let memory = memory.clone();
        spawn(move || {
            memory.set(0, true);
            memory.granules.give_back(RUN, RUN);
        })
    };
    let claimer = {
        let memory = memory.clone();
        spawn(move || {
            // Any run but the first would keep the chunk. Reusing the first makes the
            // claimer depend on the giver.
            let (first, dirty) = memory.granules.claim(SPAN_GRANULES)?;
            let run = first / SPAN_GRANULES;
            if run < 2 {
                let written = memory.set(run, true);
                assert_eq!(dirty, if written { RUN << first } else { 0 });
            }
            memory.granules.give_back(RUN << first, RUN << first);
            Some(run)
        })
    };
    let released = memory.granules.claim_all();
    if released {
        let dirty = memory.granules.take_dirty(u64::MAX).count_ones();
        // All memory is gone: loom reports a thread that still uses it.
        let written = (0..2).filter(|&run| memory.set(run, false)).count();
        assert_eq!(dirty, 8 * written as u32);
        // SAFETY: we claimed all of it.
        memory.mapped.with(|mapped| unsafe { *mapped = false });
        // SAFETY: as above. The chunk is mapped again.
        memory.mapped.with(|mapped| unsafe { *mapped = true });
        memory.granules.reset_free(0);
    }
    giver.join().unwrap();
    let run = claimer.join().unwrap();
    assert_eq!(memory.granules.free_hint(), u64::MAX);
    outcome(format!("released: {released}, claimed run: {run:?}"));
}

/// The granules of a chunk, and an index with its tables.
struct FreeSpace {
    granules: Granules,
    index: FreeSpaceIndex,
    tables: Tables,
}

impl FreeSpace {
    /// These granules are free, of which the index does not know.
    fn new(free: u64) -> Arc<Self> {
        let space = Arc::new(FreeSpace {
            granules: Granules::new(free),
            index: FreeSpaceIndex::new(),
            tables: Tables::new(LENGTHS),
        });
        space.index.init_tables(space.tables.places(), 0);
        space.granules.free_hint();
        space
    }

    /// Spawns a thread that gives the first run back.
    fn give(space: &Arc<Self>) -> JoinHandle<()> {
        let space = space.clone();
        spawn(move || space.index.give_back(0, &space.granules, RUN, 0))
    }

    fn claim(&self) -> bool {
        self.index.claim(SPAN_GRANULES, 64, |_| &self.granules).is_some()
    }
}

fn free_space() {
    let space = FreeSpace::new(0);
    // A hint that is out of date.
    space.index.mark(0, RUN);
    let giver = FreeSpace::give(&space);
    let other = {
        let space = space.clone();
        spawn(move || space.claim())
    };
    let mine = space.claim();
    giver.join().unwrap();
    let others = other.join().unwrap();
    let after = space.claim();
    assert_eq!(u8::from(mine) + u8::from(others) + u8::from(after), 1, "the run is lost");
    outcome(if after { "after" } else { "meanwhile" });
}

fn whole_chunk() {
    let space = FreeSpace::new(!RUN);
    let giver = FreeSpace::give(&space);
    let claim = || space.index.claim_chunk(64, |_| &space.granules).is_some();
    let meanwhile = claim();
    giver.join().unwrap();
    let after = claim();
    assert!(meanwhile != after, "the chunk is lost");
    outcome(if after { "after" } else { "meanwhile" });
}

fn index_find() {
    find_while_given(&[]);
}

fn index_find_in_word() {
    find_while_given(&[1]);
}

/// Looks for a run while another thread gives one back in chunk 0; these others have one.
fn find_while_given(others: &'static [usize]) {
    let space = FreeSpace::new(0);
    for other in others {
        space.index.mark(*other, RUN);
    }
    let giver = FreeSpace::give(&space);
    let found = space.index.find(3, 64) == Some(0);
    if found {
        let runs = bits::aligned_runs(space.granules.free_seen(), 8);
        assert_eq!(runs, 1, "a hint was seen before its free granules");
    }
    giver.join().unwrap();
    outcome(if found { "found" } else { "not found" });
}

fn empties() {
    world::with(RUN << 8, |world| {
        let mut blocks = world.furnish(0, 1, 2);
        let second = blocks.split_off(1);
        let senders = [blocks, second].map(|blocks| {
            spawn(move || {
                world.touch(blocks[0]);
                // SAFETY: [LIVE-PINS-SPAN] the block is live until it is sent.
                unsafe { BatchPool::new().send(&mut blocks.clone()) };
            })
        });
        let claimed = arena::claim_span(0, world::CLASS, 2);
        let span = claimed.expect("one run is free from the start");
        let index = usize::from(!ptr::eq(span.as_ptr(), &world.chunk.spans[0]));
        let mut mine = world.adopt(span, 2, 1);
        for sender in senders {
            sender.join().unwrap();
        }
        let mut out = [0; 2];
        out[index] = 1;
        let mut heaps = [0; 2];
        heaps[index] = 2;
        assert_eq!(world.settle(out), heaps);
        let free = world.chunk.granules.free_hint();
        assert_eq!(free, RUN << (8 * (1 - index)), "each granule is free or in a span");
        world::put(world.heap(2), &mut mine);
        outcome(if index == 0 { "the emptied one" } else { "the other" });
    });
}

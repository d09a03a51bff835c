//! The huge block that was freed last: it serves the next one of as many chunks, counts as free
//! memory, and goes to whoever needs memory.

use std::alloc::GlobalAlloc;
use std::sync::mpsc;
use std::thread;

use crate::base::geometry::CHUNK;
use crate::common::{Block, Random};
use crate::pages::address_space;
use crate::pages::committed::COMMITTED;
use crate::pages::freed_huge;
use crate::pages::usage;
use crate::process::fork_repair;
use crate::process::options;
use crate::reclaim::purge;
use crate::spans::page_map::MAP;
use crate::spans::standby::STANDBY;
use crate::spans::tail::Owner;
use crate::strata::Strata;
use crate::sys::{self, Call};
use crate::thread::inside;
use crate::workload::ALLOC;

const MIB: usize = 1 << 20;

fn huge(bytes: usize) -> Block {
    Block::new(&ALLOC, bytes, 8).unwrap()
}

/// All calls of the system but those that ask for something.
fn calls() -> u64 {
    let kinds =
        [Call::MapAt, Call::ReserveAt, Call::Release, Call::Resize, Call::MoveTo, Call::Purge];
    kinds.into_iter().map(sys::calls).sum()
}

/// Free bytes, those in use, and the huge blocks, as statistics tell them.
fn counts() -> [usize; 4] {
    let stats = Strata::stats();
    [stats.free_bytes(), usage::large(), stats.huge_blocks(), stats.huge_bytes()]
}

/// Requests for as many chunks get the block, without a call, and the counts are always those of
/// the blocks in use.
pub(crate) fn serves_as_many_chunks() {
    options::apply(b"helper:false,thp:never");
    Strata::purge();
    let start = COMMITTED.bytes();
    let first = huge(4 * MIB);
    let (at, before, [_, large, ..]) = (first.ptr, calls(), counts());
    let large = large - 4 * MIB;
    first.free(&ALLOC);
    assert_eq!(counts(), [4 * MIB, large, 0, 0], "it is free at once");
    for size in [4 * MIB, 2 * MIB + 1, 3 * MIB, 3 * MIB, 3 * MIB - 5, 4 * MIB - 4096, 4 * MIB] {
        let block = huge(size);
        assert_eq!(block.ptr, at, "{size} bytes");
        let bytes = size.next_multiple_of(4096);
        assert_eq!(counts(), [4 * MIB - bytes, large + bytes, 1, bytes], "{size} bytes");
        // SAFETY: the block is ours.
        unsafe { block.ptr.write_bytes(7, size) };
        block.free(&ALLOC);
        assert_eq!(counts(), [4 * MIB, large, 0, 0], "{size} bytes freed");
    }
    assert_eq!(COMMITTED.bytes(), start + 4 * MIB);
    let layout = crate::common::layout(3 * MIB, 8);
    // SAFETY: the layout is not empty; the block has its bytes.
    unsafe {
        let ptr = ALLOC.alloc_zeroed(layout);
        assert_eq!(ptr, at);
        assert!(std::slice::from_raw_parts(ptr, 3 * MIB).iter().all(|byte| *byte == 0));
        ALLOC.dealloc(ptr, layout);
    }
    assert_eq!(calls(), before, "without a call");
    let aligned = Block::new(&ALLOC, 4 * MIB, 8 * MIB).unwrap();
    assert!(aligned.ptr.addr().is_multiple_of(8 * MIB));
    aligned.free(&ALLOC);
    Strata::purge();
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (start, 0));
    // With a guard, a block has a chunk more, which faults.
    huge(4 * MIB).free(&ALLOC);
    options::apply(b"huge_guards:true");
    let guarded = huge(MIB + 1);
    assert!(guarded.ptr != at || STANDBY.seen().is_none());
    let end = guarded.ptr.wrapping_add(CHUNK);
    assert!(!sys::resident(end, 4096, &mut [0]), "behind the block");
    guarded.free(&ALLOC);
    options::apply(b"huge_guards:false");
    Strata::purge();
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (start, 0));
}

/// Blocks of other sizes, page runs and spans get its chunks before anything is mapped.
pub(crate) fn yields_to_others() {
    options::apply(b"helper:false,thp:never");
    // Tables and records are there before.
    for size in [100, 40_000, 4 * MIB] {
        huge(size).free(&ALLOC);
    }
    for (size, count) in [(6 * MIB, 1), (2 * MIB, 4), (500_000, 12), (3000, 2000)] {
        Strata::purge();
        huge(8 * MIB).free(&ALLOC);
        let mapped = sys::calls(Call::MapAt);
        let blocks: Vec<Block> = (0..count).map(|_| huge(size)).collect();
        assert_eq!(sys::calls(Call::MapAt), mapped, "{count} of {size} bytes");
        assert!(STANDBY.seen().is_none());
        blocks.into_iter().for_each(|block| block.free(&ALLOC));
    }
    // A limit counts it, and it gives way.
    Strata::purge();
    huge(8 * MIB).free(&ALLOC);
    options::apply(format!("hard_limit:{}", COMMITTED.bytes() + MIB).as_bytes());
    let block = huge(8 * MIB + 4096);
    block.free(&ALLOC);
}

/// Where addresses are limited nothing is kept: what is on standby is not, either.
pub(crate) fn not_where_addresses_are_limited() {
    options::apply(b"helper:false,thp:never");
    Strata::purge();
    let mapped = address_space::mapped();
    huge(4 * MIB).free(&ALLOC);
    assert!(address_space::mapped() >= mapped + 4 * MIB);
    sys::set_address_limit(Some(1 << 30));
    for _ in 0..300 {
        huge(4 * MIB).free(&ALLOC);
    }
    assert!(STANDBY.seen().is_none());
    assert_eq!(address_space::mapped(), mapped);
    sys::set_address_limit(None);
}

/// What nobody needs between two looks goes back, as all free memory does; what is needed again
/// does not.
pub(crate) fn goes_back_when_nobody_needs_it() {
    options::apply(b"helper:false,thp:never");
    Strata::purge();
    huge(4 * MIB).free(&ALLOC);
    let low = purge::take_low_water();
    assert!(low < 4 * MIB, "it may have been needed just before");
    assert!(purge::take_low_water() >= 4 * MIB, "nobody needed it");
    huge(4 * MIB).free(&ALLOC);
    assert!(purge::take_low_water() < MIB, "somebody needed it");
    Strata::purge();
    assert_eq!(usage::dirty(), 0);
}

/// In the child of a fork, a block on standby is one that was freed, and so is one that a
/// vanished thread was to put there.
pub(crate) fn outlives_a_fork() {
    options::apply(b"helper:false,thp:never");
    // This thread has a cache: it is known to be in no slow path.
    huge(100).free(&ALLOC);
    Strata::purge();
    let (start, [free, large, ..]) = (COMMITTED.bytes(), counts());
    let (first, second) = (huge(4 * MIB), huge(2 * MIB));
    let chunk = MAP.chunk_index(second.ptr);
    first.free(&ALLOC);
    let (done, freed) = mpsc::channel();
    thread::spawn(move || {
        std::mem::forget(inside::enter());
        done.send(MAP.chunk(chunk).huge_tail.free()).unwrap();
        loop {
            thread::park();
        }
    });
    assert_eq!(freed.recv().unwrap(), Owner::Frees(0));
    fork_repair::run();
    assert_eq!(freed_huge::held(), (0, 0));
    assert_eq!(counts(), [free + 6 * MIB, large, 0, 0]);
    for size in [4 * MIB, 2 * MIB] {
        huge(size).free(&ALLOC);
    }
    Strata::purge();
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (start, 0));
}

/// Threads that allocate and free at the same time never share a block, and nothing is lost.
pub(crate) fn serves_threads() {
    options::apply(b"helper:false,thp:never");
    Strata::purge();
    let start = COMMITTED.bytes();
    let work = |seed: u64| {
        let mut random = Random(seed);
        for n in 0..2000u64 {
            let block = huge(MIB + 1 + random.below(4) * MIB);
            let end = block.ptr.wrapping_add(block.layout.size() - 8).cast::<u64>();
            // SAFETY: the block is ours, and has so many bytes.
            unsafe { end.write_unaligned(seed << 32 | n) };
            if n % 64 == 0 {
                Strata::purge();
            }
            // SAFETY: likewise.
            assert_eq!(unsafe { end.read_unaligned() }, seed << 32 | n, "it has another user");
            block.free(&ALLOC);
        }
    };
    thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || work(seed));
        }
    });
    Strata::purge();
    assert_eq!(freed_huge::held(), (0, 0));
    assert!(COMMITTED.bytes() <= start + MIB);
    assert_eq!(usage::dirty(), 0);
}

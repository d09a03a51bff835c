//! Freed chunks: they serve what comes next, whatever it is, and go back when asked for.

use std::alloc::GlobalAlloc;
use std::thread;

use crate::background::span_purge;
use crate::base::geometry::{CHUNK, CHUNK_GRANULES, GRANULE};
use crate::common::{Block, Random};
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::process::fork_repair;
use crate::process::options;
use crate::spans::page_map::{self, MAP};
use crate::strata::Strata;
use crate::sys::{self, Call};
use crate::thread::inside;
use crate::workload::ALLOC;

const MIB: usize = 1 << 20;

/// Calls that map, unmap, move or purge.
fn calls() -> u64 {
    let kinds =
        [Call::MapAt, Call::ReserveAt, Call::Release, Call::Resize, Call::MoveTo, Call::Purge];
    kinds.into_iter().map(sys::calls).sum()
}

fn huge(bytes: usize) -> Block {
    Block::new(&ALLOC, bytes, 8).unwrap()
}

/// Resizes a block. It moves, or stays.
fn resized(block: Block, bytes: usize) -> Block {
    let Block { ptr, layout } = block;
    // SAFETY: the block is ours, and was made with this layout.
    let ptr = unsafe { ALLOC.realloc(ptr, layout, bytes) };
    assert!(!ptr.is_null());
    Block { ptr, layout: crate::common::layout(bytes, 8) }
}

fn free_all(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
}

/// What huge blocks held serves others of any size, page runs and spans.
pub(crate) fn serve_whatever_comes() {
    options::apply(b"helper:false,thp:never");
    // As much as one thread may keep.
    free_all((0..2).map(|_| huge(16 * MIB)).collect());
    let committed = COMMITTED.bytes();
    assert!(committed >= 32 * MIB);
    let before = calls();
    let mut random = Random(11);
    for _ in 0..200 {
        let one = huge(MIB + 1 + random.below(14 * MIB));
        let other = huge(MIB + 1 + random.below(14 * MIB));
        one.free(&ALLOC);
        other.free(&ALLOC);
    }
    for size in [100, 3000, 40_000, 700_000] {
        free_all((0..16 * MIB / size).map(|_| huge(size)).collect());
    }
    free_all(vec![huge(31 * MIB)]);
    // (Records of spans and page runs take a segment of metadata.)
    assert!(calls() <= before + 3, "{} calls", calls() - before);
    assert!(COMMITTED.bytes() <= committed + MIB, "{} bytes more", COMMITTED.bytes() - committed);
    Strata::purge();
    assert!(COMMITTED.bytes() <= MIB, "{} are left", COMMITTED.bytes());
}

/// A block grows over spare chunks and free addresses behind it, and keeps its contents.
pub(crate) fn serve_growth() {
    options::apply(b"helper:false,thp:never");
    let first = huge(2 * MIB);
    free_all(vec![huge(9 * MIB), huge(2 * MIB)]);
    let mut block = huge(3 * MIB);
    let at = block.ptr;
    let mapped = sys::calls(Call::MapAt);
    for size in [4 * MIB, 5 * MIB, 8 * MIB, 11 * MIB, 30 * MIB] {
        block = resized(block, size);
        assert_eq!(block.ptr, at, "it moved at {size}");
    }
    assert!(sys::calls(Call::MapAt) <= mapped + 1, "only what was missing is mapped, once");
    resized(block, 3 * MIB).free(&ALLOC);
    first.free(&ALLOC);
    Strata::purge();
    assert!(COMMITTED.bytes() <= MIB);
}

/// A page run that is alone in its chunk becomes a huge block where it is; one that is not moves,
/// and so does one that may not. What the rest of the chunk held goes back, or is used.
pub(crate) fn serve_runs_that_grow() {
    options::apply(b"helper:false,thp:never");
    let filled = |bytes: usize| {
        let block = huge(bytes);
        // SAFETY: the block is ours.
        unsafe { block.ptr.write_bytes(7, bytes) };
        block
    };
    let is_filled = |block: &Block, bytes: usize| {
        // SAFETY: the block is ours, and has so many bytes.
        unsafe { std::slice::from_raw_parts(block.ptr, bytes) }.iter().all(|byte| *byte == 7)
    };
    let committed = COMMITTED.bytes();
    let mut block = filled(100_000);
    let at = block.ptr;
    free_all(vec![filled(300_000), filled(500_000)]);
    for size in [200_000, MIB, MIB + 1, 3 * MIB, MIB + 1, 2 * MIB] {
        block = resized(block, size);
        assert_eq!(block.ptr, at, "it moved at {size}");
    }
    assert!(is_filled(&block, 100_000));
    block = resized(block, MIB + 1);
    assert!(usage::dirty() != 0);
    Strata::purge();
    assert_eq!(usage::dirty(), 0);
    assert!(COMMITTED.bytes() <= committed + MIB + 4096);
    block.free(&ALLOC);
    Strata::purge();
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (committed, 0));
    // Another run is in the chunk.
    let (first, second) = (filled(400_000), filled(100_000));
    let at = first.ptr;
    let first = resized(first, 2 * MIB);
    assert!(first.ptr != at && is_filled(&first, 400_000) && is_filled(&second, 100_000));
    free_all(vec![first, second]);
    // Nothing more can be had: then it stays a run's size, and can be used and freed.
    let block = filled(900_000);
    sys::fail_nth(Call::MapAt, 1, u64::MAX);
    sys::fail_nth(Call::ReserveAt, 1, u64::MAX);
    // SAFETY: the block is ours, and was made with this layout.
    assert!(unsafe { ALLOC.realloc(block.ptr, block.layout, 100 * MIB) }.is_null());
    let block = resized(block, 800_000);
    assert!(is_filled(&block, 800_000));
    sys::clear_failures();
    let block = resized(block, 3 * MIB);
    assert!(is_filled(&block, 800_000));
    block.free(&ALLOC);
    Strata::purge();
    assert_eq!((COMMITTED.bytes(), usage::dirty()), (committed, 0));
}

/// A block that grows beyond 16 KiB is copied once more, and then grows and shrinks where it is,
/// though its layout is that of a small one. One that is made so large is small.
pub(crate) fn serve_small_blocks_that_grow() {
    options::apply(b"helper:false,thp:never");
    let is_run = |block: &Block| page_map::kind(MAP.entry(block.ptr)) == page_map::MEDIUM;
    let made = huge(20_000);
    assert!(!is_run(&made));
    made.free(&ALLOC);
    Strata::purge();
    let before = usage::large();
    let block = resized(huge(9000), 16 << 10);
    assert!(!is_run(&block));
    let mut block = resized(block, 17_000);
    assert!(is_run(&block) && usage::large() == before + (20 << 10));
    let at = block.ptr;
    for size in [18_000, 24_000, 32 << 10, 100_000, MIB, 24_000, 20_000, 17_000] {
        // SAFETY: the block is ours, and has so many bytes.
        unsafe { block.ptr.write_bytes(7, block.layout.size()) };
        let had = block.layout.size();
        block = resized(block, size);
        assert_eq!(block.ptr, at, "it moved from {had} to {size}");
        // SAFETY: likewise.
        let bytes = unsafe { std::slice::from_raw_parts(block.ptr, had.min(size)) };
        assert!(bytes.iter().all(|byte| *byte == 7), "{had} to {size}");
        if size == MIB {
            assert_eq!(usage::large(), before + MIB);
        }
    }
    assert_eq!(usage::large(), before + (20 << 10), "what it does not need is free");
    block = resized(block, 16 << 10);
    assert!(!is_run(&block) && usage::large() == before);
    block.free(&ALLOC);
    // An alignment above that of a page is not a run's.
    let layout = crate::common::layout(9000, 8192);
    // SAFETY: the layout is not empty; the block was made with it, and then with its new size.
    unsafe {
        let ptr = ALLOC.realloc(ALLOC.alloc(layout), layout, 20_000);
        assert!(ptr.addr().is_multiple_of(8192));
        ALLOC.dealloc(ptr, crate::common::layout(20_000, 8192));
    }
    Strata::purge();
    assert_eq!(usage::large(), before);
}

/// A thread vanishes in a fork while it makes a huge block of a page run: in the child, other
/// runs may lie in that chunk.
pub(crate) fn vanishes_while_it_promotes() {
    options::apply(b"helper:false,thp:never");
    // This thread has a cache: it is known to be in no slow path.
    huge(100).free(&ALLOC);
    let block = huge(100_000);
    let at = block.ptr.addr();
    assert!(at.is_multiple_of(CHUNK));
    thread::spawn(move || {
        std::mem::forget(inside::enter());
        MAP.set(std::ptr::without_provenance_mut(at + GRANULE), CHUNK_GRANULES - 1, 0);
        loop {
            thread::park();
        }
    });
    while MAP.entry(block.ptr.wrapping_add(CHUNK - GRANULE)) != 0 {
        thread::yield_now();
    }
    fork_repair::run();
    let others: Vec<Block> = (0..8).map(|_| huge(200_000)).collect();
    assert!(others.iter().any(|other| MAP.chunk_index(other.ptr) == MAP.chunk_index(block.ptr)));
    free_all(others);
    block.free(&ALLOC);
}

/// Blocks that grow by a little, and move, use free memory as well: a program that repeats that
/// maps no more and more of it.
pub(crate) fn serve_blocks_that_move() {
    options::apply(b"helper:false,thp:never");
    let round = |sizes: &[usize]| {
        let blocks: Vec<Block> = sizes.iter().map(|size| huge(*size)).collect();
        for block in blocks {
            let size = block.layout.size();
            resized(block, size + 1000).free(&ALLOC);
        }
    };
    for size in 1..200 {
        round(&[2 * MIB, 2 * MIB, size % 9 * MIB + MIB, 9 * MIB]);
    }
    let mapped = address_space::mapped();
    assert!(mapped <= 64 * MIB, "{mapped} bytes are mapped for 22 MiB");
}

/// Free memory that does not fit what is needed next is purged while that grows, also at a time
/// at which the program's frees purge nothing.
pub(crate) fn make_room_for_growth() {
    options::apply(b"helper:false,thp:never");
    const LIVE: usize = 128 * MIB;
    let small = || -> Vec<Block> { (0..LIVE / 1024).map(|_| huge(1024)).collect() };
    // What was purged is needed again: the next purge is put off.
    free_all(small());
    let (pins, others): (Vec<_>, Vec<_>) =
        small().into_iter().enumerate().partition(|(n, _)| n % 1000 == 0);
    free_all(others.into_iter().map(|(_, block)| block).collect());
    let free = usage::dirty();
    assert!(free > LIVE / 2, "only {free} bytes are free");
    let before = sys::committed_bytes();
    let runs: Vec<Block> = (0..LIVE / (512 << 10)).map(|_| huge(512 << 10)).collect();
    let more = sys::committed_bytes() as isize - before as isize;
    assert!(more < 48 * MIB as isize, "{more} bytes more for {LIVE}, of which {free} were free");
    free_all(runs);
    free_all(pins.into_iter().map(|(_, block)| block).collect());
}

/// A program replaces blocks at random, in fewer and fewer places: its spans do not all stay in
/// use, each with few blocks, be their chunks in huge pages or not.
pub(crate) fn sparse_spans_become_empty(huge_pages: &str) {
    sys::set_huge_pages(Some(sys::HugePages::Advised));
    options::apply(format!("helper:false,thp:{huge_pages}").as_bytes());
    const SIZE: usize = 200;
    let mut random = Random(7);
    let mut blocks: Vec<Block> = (0..96 * MIB / SIZE).map(|_| huge(SIZE)).collect();
    for _ in 0..5 * blocks.len() {
        blocks.swap_remove(random.below(blocks.len())).free(&ALLOC);
        if blocks.len() < 24 * MIB / SIZE || random.below(5) != 0 {
            blocks.push(huge(SIZE));
        }
    }
    let live = blocks.len() * SIZE;
    let held = sys::committed_bytes();
    assert!(held < live + 48 * MIB, "{held} bytes are held for {live}");
    free_all(blocks);
    // Blocks that lay in a magazine when their span was evicted are counted once as well.
    Strata::thread_idle();
    assert_eq!(usage::loose(), 0, "bytes seem to be free in spans");
}

/// A heap of more chunks than one search visits: the searches end when none of the chunks had
/// anything, and what becomes free then is found.
pub(crate) fn searches_end() {
    options::apply(b"helper:false,thp:never");
    const SIZE: usize = 24 << 10;
    let mut blocks: Vec<Block> = (0..2200 * MIB / SIZE).map(|_| huge(SIZE)).collect();
    span_purge::start_watching();
    let searches = || (1..).find(|_| !span_purge::search(usize::MAX, true).more).unwrap();
    assert!((2..6).contains(&searches()), "two searches visit all chunks");
    let purged = usage::purged();
    for at in (0..blocks.len()).rev().step_by(blocks.len() / 4) {
        blocks.swap_remove(at).free(&ALLOC);
    }
    Strata::thread_idle();
    assert!((2..10).contains(&searches()));
    assert!(usage::purged() >= purged + 3 * (16 << 10), "blocks at both ends of the heap");
    free_all(blocks);
}

/// What a chunk held behind a block that is in use goes back.
pub(crate) fn tails_go_back() {
    options::apply(b"helper:false,thp:never");
    huge(8 * MIB).free(&ALLOC);
    let block = huge(6 * MIB + 4096);
    let free = usage::dirty();
    assert!((MIB..2 * MIB).contains(&free), "{free} bytes behind the block");
    let committed = COMMITTED.bytes();
    Strata::purge();
    assert_eq!(usage::dirty(), 0);
    assert!(COMMITTED.bytes() <= committed - free);
    block.free(&ALLOC);
    Strata::purge();
    assert!(COMMITTED.bytes() <= MIB);
}

/// The system refuses to unmap, and to purge, for a while: all goes back afterwards.
pub(crate) fn nothing_is_lost() {
    options::apply(b"helper:false,thp:never");
    Strata::purge();
    let before = sys::committed_bytes();
    for round in 0..20 {
        sys::fail_nth(Call::Release, 1, u64::MAX);
        sys::fail_nth(Call::Purge, 1, u64::MAX);
        for size in [100, 5000, 100_000, 3 * MIB, 7 * MIB + 1] {
            free_all((0..24 * MIB / size).map(|_| huge(size)).collect());
            Strata::purge();
        }
        assert!(sys::committed_bytes() < before + 80 * MIB, "round {round}: it is not used again");
        sys::clear_failures();
        Strata::purge();
        let left = sys::committed_bytes() - before;
        assert!(left <= 4 * MIB, "round {round}: {left} bytes did not go back");
    }
}

/// Whoever purges may be slower than a chunk of page runs that becomes one of spans, of the
/// same arena: these are not touched.
pub(crate) fn purge_comes_late() {
    options::apply(b"helper:false,thp:never");
    let runs: Vec<Block> = (0..16).map(|_| huge(500 << 10)).collect();
    let mut chunks: Vec<usize> = runs.iter().map(|run| MAP.chunk_index(run.ptr)).collect();
    chunks.dedup();
    assert!(chunks.len() >= 4);
    free_all(runs);
    // In one block after the other of many classes: the spans of a class are the arena's at
    // first.
    let small: Vec<Block> = (0..200_000)
        .map(|n| Block::new(&ALLOC, 16 + n * 64 % 8000, 8).unwrap())
        .take_while(|block| chunks.contains(&MAP.chunk_index(block.ptr)) || usage::dirty() != 0)
        .collect();
    for block in &small {
        // SAFETY: the block is ours.
        unsafe { block.ptr.write_bytes(7, block.layout.size()) };
    }
    let shared = chunks.iter().filter(|chunk| {
        let entry = MAP.entry(MAP.chunk_base(**chunk));
        arena::by_id(crate::spans::page_map::owner(entry)).is_some()
    });
    assert!(shared.count() != 0, "no chunk of runs has become one of shared spans");
    let purged: usize =
        chunks.iter().map(|chunk| arena::get(0).page_runs.purge(*chunk, 4096)).sum();
    assert_eq!(purged, 0);
    for block in small {
        // SAFETY: the block is ours.
        let bytes = unsafe { std::slice::from_raw_parts(block.ptr, block.layout.size()) };
        assert!(bytes.iter().all(|byte| *byte == 7));
        block.free(&ALLOC);
    }
}

//! Purging of free granules, and the limits: other threads claim and return the same granules,
//! are refused, purge and try again. What is committed and dirty adds up at the end, and what
//! counts as clean holds no memory.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::base::geometry::{GRANULE, SPAN_GRANULES};
use crate::model::{Model, outcome};
use crate::pages::arena;
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::reclaim::{limit, purge};
use crate::sys;
use crate::world::{self, Blocks, CLASS, SPAN_BLOCKS, World, put, spawn};

/// One thread purges, while another makes a span, uses it and returns it, and a third makes one
/// and keeps it. The system refuses to purge the first run, and a page of which half is dirty.
pub(super) static PURGE: Model = Model {
    name: "purge",
    preemptions: Some(2),
    executions: 100,
    outcomes: &[
        "purged 0, used: false, kept: false",
        "purged 0, used: false, kept: true",
        "purged 0, used: true, kept: false",
        "purged 0, used: true, kept: true",
        "purged 1, used: false, kept: true",
        "purged 1, used: true, kept: true",
    ],
    body: purge_while_used,
};

/// All that is committed is dirty, in pieces too small for a span. Two threads need a span each:
/// the hard limit refuses it until one has purged, and both get theirs.
pub(super) static PURGE_LIMIT: Model = Model {
    name: "purge_limit",
    preemptions: Some(2),
    executions: 100,
    outcomes: &["both got one"],
    body: purge_at_limit,
};

/// The last span of a chunk is returned while a thread purges, which unmaps a chunk that is free
/// as a whole, and another makes a span, which may map it again.
pub(super) static PURGE_CHUNK: Model = Model {
    name: "purge_chunk",
    preemptions: Some(2),
    executions: 100,
    outcomes: &[
        "purged 0, made: true, mapped: true",
        "purged 1, made: false, mapped: false",
        "purged 1, made: true, mapped: true",
    ],
    body: purge_chunk,
};

/// Two threads make a span each. Above the soft limit they purge, and the program is told once,
/// as one of the spans is too much all the same.
pub(super) static LIMIT_ENFORCED: Model = Model {
    name: "limit_enforced",
    preemptions: Some(1),
    executions: 100,
    outcomes: &["told at once", "told at the next slow path"],
    body: limit_enforced,
};

const RUN: u64 = 0xff;
/// A page of two granules that is not part of a run.
const PAGE: u64 = 0b11 << 20;
const HALF: u64 = 0b01 << 20;
/// Sixteen granules, of which no eight form an aligned run.
const PIECES: u64 = 0x7f7f_0300_0000;
const SPAN: usize = SPAN_GRANULES * GRANULE;

/// A span for heap `id`, with all its blocks, which are used.
fn make(world: &World, id: u32) -> Option<Blocks> {
    let span = arena::claim_span(0, CLASS, id)?;
    let blocks = world.adopt(span, id, SPAN_BLOCKS);
    assert_eq!(blocks.len(), SPAN_BLOCKS);
    world.touch(blocks[0]);
    Some(blocks)
}

/// When no other thread runs: checks that the counts are those of the granules, of which these
/// are free and `spans` spans are in use, and that what is clean was not written.
fn check(world: &World, free: u64, spans: usize) {
    let granules = &world.chunk.granules;
    assert_eq!(granules.free_hint(), free, "each granule is free or in a span");
    let dirty = granules.dirty_hint();
    assert_eq!(dirty & !free, 0, "what is in use is not dirty");
    let bytes = dirty.count_ones() as usize * GRANULE;
    assert_eq!(usage::dirty(), bytes, "dirty bytes");
    assert_eq!(COMMITTED.bytes(), bytes + spans * SPAN, "committed bytes");
    for granule in (0..2 * SPAN_GRANULES).filter(|granule| free >> granule & 1 != 0) {
        let clean = dirty >> granule & 1 == 0;
        assert!(!clean || !world.is_written(granule), "what is clean holds memory");
    }
}

/// Makes granules free and dirty that nobody had.
fn give_dirty(granules: u64) {
    let bytes = granules.count_ones() as usize * GRANULE;
    COMMITTED.charge(bytes).unwrap();
    usage::gave_large(bytes, bytes);
    arena::give_back(0, granules, granules);
}

fn purge_while_used() {
    world::with(RUN | RUN << 8, |world| {
        let mut both = [make(world, 1).unwrap(), make(world, 1).unwrap()].concat();
        put(world.heap(1), &mut both);
        // A page has two granules; of this one, half is dirty.
        sys::set_page_size(2 * GRANULE);
        arena::give_back(0, PAGE & !HALF, 0);
        give_dirty(HALF);
        world.refuse(RUN | PAGE);
        check(world, RUN | RUN << 8 | PAGE, 0);
        let user = spawn(|| {
            let blocks = make(world, 2);
            blocks.map(|mut blocks| put(world.heap(2), &mut blocks)).is_some()
        });
        let keeper = spawn(|| make(world, 3));
        let purged = purge::purge_all() / SPAN;
        let used = user.join().unwrap();
        let kept = keeper.join().unwrap();
        let runs = kept.as_ref().map_or(RUN | RUN << 8, |blocks| {
            let first = (blocks[0].addr() - crate::spans::page_map::BASE) / SPAN;
            RUN << (8 * (1 - first))
        });
        check(world, runs | PAGE, usize::from(kept.is_some()));
        outcome(format!("purged {purged}, used: {used}, kept: {}", kept.is_some()));
    });
}

fn purge_at_limit() {
    world::with(RUN | RUN << 8, |world| {
        assert_eq!(PIECES.count_ones() as usize, 2 * SPAN_GRANULES);
        COMMITTED.set_hard_limit(2 * SPAN);
        give_dirty(PIECES);
        let claim = |id| {
            let fresh = || make(world, id);
            let blocks = fresh().or_else(|| purge::make_room().then(fresh)?);
            assert!(COMMITTED.bytes() <= 2 * SPAN, "more than the hard limit is committed");
            blocks
        };
        let other = spawn(move || claim(2).is_some());
        let mine = claim(1).is_some();
        assert!(mine && other.join().unwrap(), "a purge makes room for both");
        check(world, PIECES, 2);
        outcome("both got one");
    });
}

fn purge_chunk() {
    world::with(u64::MAX, |world| {
        let mut last = make(world, 1).unwrap();
        let giver = spawn(move || {
            world.touch(last[0]);
            put(world.heap(1), &mut last);
        });
        let maker = spawn(|| make(world, 2));
        let purged = purge::purge_all() / SPAN;
        giver.join().unwrap();
        let made = maker.join().unwrap();
        let free = world.chunk.granules.free_hint();
        let mapped = free != 0;
        let used = made.as_ref().map_or(0, |blocks| {
            let first = (blocks[0].addr() - crate::spans::page_map::BASE) / SPAN;
            RUN << (8 * first)
        });
        assert_eq!(arena::has_spans(&world.chunk), mapped, "what kind of chunk it is");
        check(world, if mapped { !used } else { 0 }, usize::from(made.is_some()));
        outcome(format!("purged {purged}, made: {}, mapped: {mapped}", made.is_some()));
    });
}

/// How often the program was told in this execution.
static TOLD: AtomicUsize = AtomicUsize::new(0);

fn limit_enforced() {
    const SOFT: usize = SPAN + SPAN / 2;
    TOLD.store(0, Ordering::Relaxed);
    world::with(RUN | RUN << 8, |world| {
        limit::call(|_| {
            TOLD.fetch_add(1, Ordering::Relaxed);
        });
        COMMITTED.set_limit(SOFT);
        let half = 0x7f << 32;
        give_dirty(half);
        limit::check();
        let slow_path = |id| {
            assert!(arena::claim_span(0, CLASS, id).is_some());
            limit::check();
        };
        let other = spawn(move || slow_path(2));
        slow_path(1);
        other.join().unwrap();
        let told = TOLD.load(Ordering::Relaxed);
        limit::check();
        let then = TOLD.load(Ordering::Relaxed);
        assert_eq!(then, 1, "told once, as both spans are too much");
        assert_eq!(usage::dirty(), 0, "what was free stays committed");
        check(world, half, 2);
        outcome(if told == 1 { "told at once" } else { "told at the next slow path" });
    });
}

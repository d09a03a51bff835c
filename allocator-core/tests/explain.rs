//! `Strata::explain`: the rows add up to the resident memory of the process, and
//! each row shows what the program did.

mod common;

use allocator_core::{Cause, Explanation, Strata};
use common::{Block, Random, fill, mib};
use std::alloc::GlobalAlloc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;

/// Allocates blocks and writes them.
fn written(count: usize, size: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count);
    for n in 0..count {
        let block = Block::new(&GLOBAL, size, 8).unwrap();
        // SAFETY: the block has so many bytes.
        unsafe { fill(block.ptr, size, n as u64) };
        blocks.push(block);
    }
    blocks
}

/// Gets an explanation, and checks what holds for every one.
fn explained() -> Explanation {
    let all = Strata::explain();
    let mut sum = all.live_bytes();
    assert_eq!(sum, all.live_small_bytes() + all.live_large_bytes());
    for (cause, row) in all.causes() {
        assert_eq!(row, all.bytes_of(cause), "{cause:?}");
        assert!(row <= all.resident_bytes(), "{all}");
        if let Some(most) = all.largest_class(cause) {
            assert!(most.bytes() > 0 && most.block_bytes() > 0, "{cause:?}: {most:?}");
        }
        sum += row;
    }
    assert_eq!(sum, all.resident_bytes(), "{all}");
    for cause in [Cause::Metadata, Cause::Other] {
        assert!(all.bytes_of(cause) > 0, "{cause:?}: {all}");
    }
    all
}

#[track_caller]
fn near(now: usize, want: usize, percent: usize, all: &Explanation) {
    let off = now.abs_diff(want);
    assert!(off * 100 <= want * percent, "{:.2} of {:.2} MiB\n{all}", mib(now), mib(want));
}

fn rows_add_up() {
    explained();
    let _small = written(20_000, 300);
    let _medium = written(50, 100_000);
    let _huge = written(3, 5 * MIB);
    let all = explained();
    let rss = common::rss();
    assert!(rss.abs_diff(all.resident_bytes()) < MIB, "{rss}\n{all}");
    // The text of the program and its stack are not blocks.
    assert!(all.bytes_of(Cause::Other) + MIB >= rss - common::anonymous(), "{all}");
    // The explanation itself takes hardly any memory.
    for _ in 0..20 {
        explained();
    }
    assert!(common::rss() < rss + MIB / 2, "{rss} {}", common::rss());
}

fn live() {
    let before = explained();
    for (count, size) in [(200_000, 200), (10_000, 4000), (300, 100_000), (10, 4 * MIB + 1)] {
        let blocks = written(count, size);
        let all = explained();
        // The vector that holds the blocks is live, too.
        let asked = count * (size + size_of::<Block>());
        near(all.live_bytes() - before.live_bytes(), asked, 10, &all);
        let cause = |all: &Explanation| all.live_small_bytes() > all.live_large_bytes();
        assert_eq!(cause(&all), size < 32 << 10, "{all}");
        drop_all(blocks);
    }
}

fn drop_all(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
}

/// A block that is never written.
fn untouched(size: usize) -> Block {
    let layout = common::layout(size, 8);
    // SAFETY: the size is not 0.
    let ptr = unsafe { GLOBAL.alloc(layout) };
    assert!(!ptr.is_null());
    Block { ptr, layout }
}

/// Live blocks that were never written take no memory. Neither do pages that were
/// only read, although the system reports them as resident.
fn never_written() {
    let before = explained();
    let blocks: Vec<_> = (0..2000).map(|_| untouched(30_000)).collect();
    let huge = untouched(64 * MIB);
    let all = explained();
    assert!(all.live_bytes() < before.live_bytes() + MIB, "{all}");
    for at in (0..64 * MIB).step_by(4096) {
        // SAFETY: within the block, which is fresh, and so zero.
        assert_eq!(unsafe { huge.ptr.add(at).read_volatile() }, 0);
    }
    let all = explained();
    assert!(all.live_bytes() < before.live_bytes() + MIB, "{all}");
    assert!(all.resident_bytes() < before.resident_bytes() + 4 * MIB, "{all}");
    huge.free(&GLOBAL);
    drop_all(blocks);
}

fn free_blocks() {
    let mut random = Random(1);
    let mut blocks = written(100_000, 1280);
    for at in (1..blocks.len()).rev() {
        blocks.swap(at, random.below(at + 1));
    }
    let rest = blocks.split_off(blocks.len() * 19 / 20);
    drop_all(blocks);
    let all = explained();
    assert_eq!(all.largest_cause(), Cause::FreeBlocks, "{all}");
    assert_eq!(all.largest_class(Cause::FreeBlocks).unwrap().block_bytes(), 1280, "{all}");
    // Some pages hold no live block, but other pages of their span do.
    assert!(all.bytes_of(Cause::FreeBlocks) > 50 * MIB, "{all}");
    near(all.live_bytes(), rest.len() * 1280, 60, &all);
    let text = all.to_string();
    let said = text.lines().rev().nth(1).unwrap();
    assert!(said.starts_with("Most of what is not live is free blocks in spans: "), "{text}");
    assert!(said.contains("class 1280"), "{text}");
    drop_all(rest);
}

fn thread_caches() {
    let before = explained();
    // So few that they stay in the magazine when they are freed.
    drop_all(written(300, 128));
    let all = explained();
    let cached = Strata::stats().cached_bytes();
    assert!(cached >= 100 * 128, "{cached}");
    assert!(
        all.bytes_of(Cause::ThreadCaches) >= before.bytes_of(Cause::ThreadCaches) + 100 * 128,
        "{before}\n{all}"
    );
    assert!(all.bytes_of(Cause::ThreadCaches) <= cached, "{cached}\n{all}");
}

fn waiting() {
    let keep = written(1, 40_000);
    // Sometimes the helper purges before the explanation is made.
    let above = (0..20).find_map(|_| {
        drop_all(written(1000, 64 << 10));
        let all = explained();
        (all.bytes_of(Cause::Waiting) > 40 * MIB).then_some(all)
    });
    let all = above.expect("memory above the bound, at least once");
    assert_eq!(all.largest_cause(), Cause::Waiting, "{all}");
    assert!(all.bytes_of(Cause::FreeSpans) + all.bytes_of(Cause::FreeRuns) <= 5 * MIB, "{all}");
    Strata::purge();
    let purged = explained();
    assert_eq!(purged.bytes_of(Cause::Waiting), 0, "{purged}");
    assert!(purged.resident_bytes() + 40 * MIB < all.resident_bytes(), "{purged}");
    drop_all(keep);
}

fn rounding() {
    let before = explained();
    let blocks = written(1000, 1000);
    let all = explained();
    let came = all.bytes_of(Cause::Rounding) - before.bytes_of(Cause::Rounding);
    near(came, 1000 * 24, 25, &all);
    let more = written(100_000, 1000);
    let all = explained();
    let most = all.largest_class(Cause::Rounding).unwrap();
    assert_eq!(most.block_bytes(), 1024, "{all}");
    near(most.bytes(), 101_000 * 24, 10, &all);
    // Eight sizes in equal shares: 8 to 15 bytes of each block were not requested.
    let mut mixed = Vec::with_capacity(80_000);
    for n in 0..80_000 {
        mixed.push(Block::new(&GLOBAL, 497 + n * 7 % 8, 8).unwrap());
        // SAFETY: the block has so many bytes.
        unsafe { fill(mixed[n].ptr, 497, n as u64) };
    }
    let with_mixed = explained();
    near(
        with_mixed.bytes_of(Cause::Rounding) - all.bytes_of(Cause::Rounding),
        80_000 * 23 / 2,
        25,
        &with_mixed,
    );
    drop_all(mixed);
    drop_all(more);
    drop_all(blocks);
}

/// No number underflows while other threads allocate.
fn while_others_allocate() {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for t in 0..3 {
            let stop = &stop;
            scope.spawn(move || {
                let mut random = Random(t + 1);
                let mut held = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    if random.below(100) < 52 && held.len() < 20_000 {
                        let log = if random.below(500) == 0 { 21 } else { 13 };
                        let size = random.size(log);
                        let block = Block::new(&GLOBAL, size, 8).unwrap();
                        // SAFETY: the block has so many bytes.
                        unsafe { fill(block.ptr, size.min(5000), 1) };
                        held.push(block);
                    } else if !held.is_empty() {
                        held.swap_remove(random.below(held.len())).free(&GLOBAL);
                    }
                    if random.below(100_000) == 0 {
                        Strata::purge();
                    }
                }
                drop_all(held);
            });
        }
        for _ in 0..200 {
            assert!(explained().to_string().lines().count() == 15);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// An explanation allocates nothing. (The test harness has a thread of its own,
/// which may allocate at first.)
fn reading() {
    let changes_nothing = || {
        let first = Strata::stats();
        for _ in 0..20 {
            let _ = std::hint::black_box(Strata::explain());
        }
        let last = Strata::stats();
        first.classes() == last.classes()
            && first.mapped_bytes() == last.mapped_bytes()
            && first.metadata_bytes() == last.metadata_bytes()
    };
    assert!((0..50).any(|_| changes_nothing()));
}

/// A program that ends; it prints an explanation if the options ask for one.
fn at_exit() {
    let blocks = written(10_000, 2000);
    std::mem::forget(blocks);
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "rows" => rows_add_up(),
        "live" => live(),
        "never_written" => never_written(),
        "free_blocks" => free_blocks(),
        "thread_caches" => thread_caches(),
        "waiting" => waiting(),
        "rounding" => rounding(),
        "others" => while_others_allocate(),
        "reading" => reading(),
        "at_exit" => at_exit(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

/// Runs a case in a child with options.
fn with(options: &str, case: &str) -> common::Ended {
    common::command(case).env("STRATA_CONF", options).output().unwrap().into()
}

#[test]
fn the_rows_add_up_to_all() {
    common::succeeds("rows");
}

#[test]
fn live_blocks_are_live() {
    common::succeeds("live");
}

#[test]
fn what_was_never_written_is_not_there() {
    common::succeeds("never_written");
}

#[test]
fn free_blocks_in_spans_are_named() {
    common::succeeds("free_blocks");
}

#[test]
fn magazines_are_thread_caches() {
    common::succeeds("thread_caches");
}

#[test]
fn what_is_above_the_bound_waits() {
    common::succeeds("waiting");
}

#[test]
fn rounding_is_estimated() {
    common::succeeds("rounding");
}

#[test]
fn others_may_allocate_meanwhile() {
    common::succeeds("others");
}

#[test]
fn looking_allocates_nothing() {
    common::succeeds("reading");
}

#[test]
fn it_is_printed_at_the_end_if_asked_for() {
    let ended = with("explain:exit", "at_exit");
    assert!(ended.ok && ended.out.contains("end of the case"), "{}", ended.err);
    let tables = ended.err.matches("strata: Memory of the process").count();
    assert_eq!(tables, 1, "{}", ended.err);
    assert!(ended.err.contains("free blocks in spans"), "{}", ended.err);
    assert!(ended.err.contains(" of what is not live is "), "{}", ended.err);
    for silent in ["", "explain:never"] {
        let ended = with(silent, "at_exit");
        assert!(ended.ok && !ended.err.contains("strata:"), "{}", ended.err);
    }
}

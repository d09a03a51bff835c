//! Free memory goes back to the system without a call, also from spans in use:
//! while the program runs, while it rests, and when its threads are parked.

mod common;

use allocator_core::{Explanation, Strata};
use common::{Block, Random, anonymous, mib};
use std::ffi::c_void;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;

/// Waits until at most so much memory is held. Panics if that takes too long.
fn falls_to(what: &str, most: usize) {
    for _ in 0..1500 {
        if anonymous() <= most {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let (held, explained) = (anonymous(), Strata::explain());
    panic!("{what}: {:.1} MiB are held, not {:.1}\n{explained}", mib(held), mib(most));
}

fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for i in (1..items.len()).rev() {
        items.swap(i, random.below(i + 1));
    }
}

/// The pattern that a block is filled with.
fn pattern(block: &Block) -> u64 {
    block.layout.size() as u64
}

/// Written blocks, in random order.
fn blocks(count: usize, size: impl Fn(&mut Random) -> usize, seed: u64) -> Vec<Block> {
    let mut random = Random(seed);
    let mut blocks: Vec<Block> = (0..count)
        .map(|_| {
            let size = size(&mut random);
            let block = Block::new(&GLOBAL, size, 8).unwrap();
            // SAFETY: the block is ours.
            unsafe { common::fill(block.ptr, size, pattern(&block)) };
            block
        })
        .collect();
    shuffle(&mut blocks, &mut random);
    blocks
}

/// Frees blocks, after checking that they hold what was written.
fn free(blocks: Vec<Block>) {
    for block in blocks {
        // SAFETY: the block is ours, until it is freed.
        let whole = unsafe { common::is_filled(block.ptr, block.layout.size(), pattern(&block)) };
        assert!(whole, "{:p} of {}", block.ptr, block.layout.size());
        block.free(&GLOBAL);
    }
}

/// Allocates many blocks and frees all but one in twenty, in random order.
fn survivors(seed: u64) -> (Vec<Block>, usize) {
    let mut all = blocks(100_000, |random| 512 + random.below(1536), seed);
    let peak = anonymous();
    let rest = all.split_off(all.len() / 20);
    free(rest);
    (all, peak)
}

/// Free pages between live blocks are purged. Blocks allocated there again, and the
/// live ones, keep their contents.
fn between_live_blocks() {
    for seed in 1..4 {
        let (stay, peak) = survivors(seed);
        falls_to("one in twenty is live", peak / 100 * 35);
        let again = blocks(50_000, |random| 512 + random.below(1536), seed + 10);
        free(again);
        free(stay);
    }
    falls_to("all is free", 12 * MIB);
}

/// The same at once, by a call of `Strata::purge`.
fn by_hand() {
    let (stay, peak) = survivors(1);
    // The helper may have come before.
    Strata::purge();
    assert!(Strata::stats().purged_bytes() > peak / 2);
    let held = anonymous();
    assert!(held < peak / 100 * 35, "{:.1} of {:.1} MiB", mib(held), mib(peak));
    explained();
    free(stay);
}

/// Live small blocks, from the statistics.
fn live_small() -> usize {
    Strata::stats().classes().iter().map(|class| class.live_blocks()).sum()
}

/// An explanation, after checking that its rows add up.
fn explained() -> Explanation {
    let all = Strata::explain();
    let held: usize = all.causes().map(|(_, bytes)| bytes).sum();
    assert_eq!(all.live_bytes() + held, all.resident_bytes(), "{all}");
    all
}

/// When blocks are taken from holes, these are holes no more. The numbers add up at
/// each step, and the memory is purged once more when it is free.
fn filled_again() {
    let (stay, _) = survivors(1);
    Strata::purge();
    let (live, purged_once) = (live_small(), explained());
    assert!(Strata::purge() < MIB, "it was purged already");
    for seed in 2..5 {
        let again = blocks(80_000, |random| 512 + random.below(1536), seed);
        let full = explained();
        let asked: usize = again.iter().map(|block| block.layout.size()).sum();
        assert_eq!(live_small(), live + again.len(), "{full}");
        let more = full.live_bytes() - purged_once.live_bytes();
        assert!(more.abs_diff(asked) < asked / 10, "{:.1} {:.1}\n{full}", mib(more), mib(asked));
        let before = Strata::stats().purged_bytes();
        free(again);
        let freed = explained();
        assert!(freed.live_bytes() < purged_once.live_bytes() + 2 * MIB, "{freed}");
        // The helper may purge before this call does.
        Strata::purge();
        let (purged, before) =
            (Strata::stats().purged_bytes() - before, Strata::stats().purged_bytes());
        assert!(purged > asked / 2, "{:.1} of {:.1} MiB", mib(purged), mib(asked));
        assert!(Strata::purge() < MIB, "{}", Strata::stats().purged_bytes() - before);
        assert_eq!(live_small(), live);
    }
    free(stay);
}

/// Threads free all their blocks, in random order, and park.
fn parked(threads: usize, each: usize) {
    let before = anonymous();
    let gate = Barrier::new(threads + 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let park = |seed| {
            let (gate, done) = (&gate, &done);
            move || {
                let mine = blocks(each / 1000, |_| 1000, seed);
                gate.wait();
                free(mine);
                gate.wait();
                while !done.load(Ordering::Relaxed) {
                    thread::park();
                }
            }
        };
        let running: Vec<_> = (1..=threads as u64).map(|seed| scope.spawn(park(seed))).collect();
        gate.wait();
        let full = anonymous();
        assert!(full > before + threads * each / 4 * 3);
        gate.wait();
        // The threads' stacks, caches and magazines are kept.
        falls_to("all threads are parked", before + 6 * MIB + threads * (100 << 10));
        done.store(true, Ordering::Relaxed);
        running.iter().for_each(|thread| thread.thread().unpark());
    });
}

/// Other threads keep allocating meanwhile.
fn busy() {
    let before = anonymous();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let done = &done;
            scope.spawn(move || {
                let mut random = Random(seed + 7);
                while !done.load(Ordering::Relaxed) {
                    let size = 16 + random.below(2000);
                    free(blocks(200, |_| size, seed + 1));
                }
            });
        }
        let (stay, peak) = survivors(3);
        assert!(peak > before + 80 * MIB);
        falls_to("other threads are busy", before + (peak - before) / 100 * 40);
        done.store(true, Ordering::Relaxed);
        free(stay);
    });
}

/// A thread that announces that it will sleep keeps nothing.
fn idle() {
    common::others_sleep();
    without_a_cache();
    Strata::thread_idle();
    let others = Strata::stats().cached_bytes();
    free(blocks(3000, |random| 16 + random.below(2000), 1));
    assert!(Strata::stats().cached_bytes() > others);
    Strata::thread_idle();
    Strata::thread_idle();
    assert_eq!(Strata::stats().cached_bytes(), others);
    // It can allocate as before.
    free(blocks(3000, |random| 16 + random.below(2000), 2));
    Strata::thread_idle();
    let cached = || {
        free(blocks(100, |_| 100, 3));
        Strata::thread_idle();
        Strata::stats().cached_bytes()
    };
    assert!(thread::spawn(cached).join().unwrap() < 64 << 10);
}

/// A thread that never allocated has nothing to put away, and the call does not give
/// it a cache. No thread has ended yet whose cache it could reuse.
fn without_a_cache() {
    extern "C" fn idle(had: *mut c_void) -> *mut c_void {
        let before = Strata::stats().metadata_bytes();
        Strata::thread_idle();
        Strata::thread_idle();
        // SAFETY: the array is the caller's, who waits for this thread.
        unsafe { had.cast::<[usize; 2]>().write([before, Strata::stats().metadata_bytes()]) };
        std::ptr::null_mut()
    }
    // Not a thread of the standard library: these allocate when they start.
    let (mut metadata, mut thread) = ([0usize; 2], 0);
    // SAFETY: both variables live until the thread is joined.
    unsafe {
        let place = (&raw mut metadata).cast();
        let begun = libc::pthread_create(&raw mut thread, std::ptr::null(), idle, place);
        assert_eq!(begun, 0);
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
    }
    assert!(metadata[0] > 0);
    assert_eq!(metadata[0], metadata[1], "it got a cache");
}

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// The helper starts when there is something to do, and ends afterwards.
fn comes_and_goes() {
    let alone = threads();
    for seed in 1..20 {
        free(blocks(2000, |_| 1000, seed));
        assert_eq!(threads(), alone, "a program that frees little has no helper");
    }
    let (stay, _) = survivors(1);
    assert_eq!(threads(), alone + 1, "the helper");
    for _ in 0..1000 {
        if threads() == alone {
            free(stay);
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("the helper is still running");
}

/// The child of a fork has one thread, and no helper: the thread that frees gives back. What
/// the parent had freed, and the child needs again, puts that off, but not after a while.
fn after_fork() {
    let (stay, _) = survivors(1);
    thread::sleep(Duration::from_secs(5));
    // SAFETY: the child runs only the lines below, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let (more, peak) = survivors(2);
        falls_to("in the child", peak / 100 * 50);
        free(more);
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: plain call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    free(stay);
}

/// The memory of ended threads is purged.
fn ended() {
    let before = anonymous();
    threads_end();
    falls_to("all threads have ended", before + 4 * MIB);
}

/// If one thread is left, which frees nothing, the helper purges the rest, too, before it leaves.
fn one_left() {
    // SAFETY: the child runs only the lines below, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let most = anonymous() + 3 * MIB;
        // Where threads begin slowly, the helper may see one of them and leave before they end.
        let mut falls = (0..5).map(|_| {
            threads_end();
            (0..200).any(|_| {
                thread::sleep(Duration::from_millis(20));
                anonymous() <= most
            })
        });
        if !falls.any(|has_fallen| has_fallen) {
            falls_to("one thread is left", most);
        }
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: plain call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
}

/// Threads that have some blocks each, all at once, and end.
fn threads_end() {
    let gate = Barrier::new(201);
    thread::scope(|scope| {
        for seed in 0..200 {
            let gate = &gate;
            scope.spawn(move || {
                // Much more than the bound in all, so that there is something to do.
                let mine = blocks(160, |random| 16 + random.below(1000), seed + 1);
                gate.wait();
                free(mine);
            });
        }
        gate.wait();
    });
}

/// A program takes blocks from each of its spans again and again, each of which has much more
/// free memory than live blocks: far too much is not kept.
fn all_spans_in_use() {
    const SIZE: usize = 4096;
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let parked = thread::spawn(move || {
        free(blocks(10, |_| 100, 1));
        let _ = ended.recv();
    });
    let before = anonymous();
    let made = blocks((96 * MIB) / SIZE, |_| SIZE, 2);
    let (live, others): (Vec<_>, Vec<_>) =
        made.into_iter().enumerate().partition(|(n, _)| n % 8 == 0);
    free(others.into_iter().map(|(_, block)| block).collect());
    let most = before + live.len() * SIZE + 30 * MIB;
    let mut least = usize::MAX;
    for _ in 0..60 {
        free(blocks((80 * MIB) / SIZE, |_| SIZE, 3));
        // Not so long that a span would rest from one look of the helper to the next.
        thread::sleep(Duration::from_millis(200));
        least = least.min(anonymous());
        if least <= most {
            break;
        }
    }
    assert!(least <= most, "{:.1} MiB are held, not {:.1}", mib(least), mib(most));
    free(live.into_iter().map(|(_, block)| block).collect());
    drop(end);
    parked.join().unwrap();
}

/// What describes chunks goes back with them: their spans, bitmaps and page runs.
fn peak() {
    const LIVE: usize = 512 << 20;
    for size in [1000, 50_000] {
        Strata::purge();
        let before = anonymous();
        let made = blocks(LIVE / size, |_| size, 1);
        let full = anonymous();
        free(made);
        Strata::purge();
        let after = anonymous();
        eprintln!("{size} B: {:.2} to {:.2} to {:.2} MiB", mib(before), mib(full), mib(after));
        assert!(full > before + LIVE / 2);
        assert!(after <= before + (256 << 10));
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "between" => between_live_blocks(),
        "by-hand" => by_hand(),
        "filled-again" => filled_again(),
        "parked-4" => parked(4, 40 * MIB),
        "parked-200" => parked(200, MIB),
        "busy" => busy(),
        "idle" => idle(),
        "comes-and-goes" => comes_and_goes(),
        "fork" => after_fork(),
        "ended" => ended(),
        "one-left" => one_left(),
        "peak" => peak(),
        "all-spans" => all_spans_in_use(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn pages_between_live_blocks_go_back() {
    common::succeeds("between");
}

#[test]
fn pages_between_live_blocks_go_back_by_hand() {
    common::succeeds("by-hand");
}

#[test]
fn holes_that_are_filled_again_add_up() {
    common::succeeds("filled-again");
}

#[test]
fn what_parked_threads_freed_goes_back() {
    common::succeeds("parked-4");
    common::succeeds("parked-200");
}

#[test]
fn what_is_free_goes_back_while_others_are_busy() {
    common::succeeds("busy");
}

#[test]
fn a_thread_that_is_going_to_sleep_keeps_nothing() {
    common::succeeds("idle");
}

#[test]
fn the_helper_comes_and_goes() {
    common::succeeds("comes-and-goes");
}

#[test]
fn the_child_of_a_fork_gives_memory_back() {
    common::succeeds("fork");
}

#[test]
fn what_ended_threads_had_goes_back() {
    common::succeeds("ended");
}

#[test]
fn the_last_thread_is_left_with_little() {
    common::succeeds("one-left");
}

#[test]
fn what_describes_chunks_goes_back() {
    common::succeeds("peak");
}

#[test]
fn spans_in_use_do_not_keep_far_too_much() {
    common::succeeds("all-spans");
}

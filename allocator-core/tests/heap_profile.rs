//! The heap profile tells the truth, in every thread, and keeps to it after it was switched off.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use allocator_core::{Amount, Strata};
use common::{at_end, case, succeeds};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// One sample in so many bytes: enough of them for narrow bounds.
const RATE: usize = 4 << 10;

fn sum(of: impl Fn(&allocator_core::ProfiledStack) -> Amount) -> Amount {
    Strata::profile().map(|stack| of(&stack)).fold(Amount::default(), |sum, it| Amount {
        blocks: sum.blocks + it.blocks,
        bytes: sum.bytes + it.bytes,
    })
}

fn in_use() -> Amount {
    sum(allocator_core::ProfiledStack::in_use)
}

fn allocated() -> Amount {
    sum(allocator_core::ProfiledStack::allocated)
}

/// Whether an estimate is near the truth: by 5 %.
#[track_caller]
fn assert_near(found: u64, exact: u64) {
    assert!(found.abs_diff(exact) * 20 < exact, "{found} instead of {exact}");
}

/// Blocks of sizes from `least` on, each nearly twice the last, until they are `bytes`. And what
/// they are, with the vector that holds them.
fn blocks(bytes: usize, least: usize, most: usize) -> (Vec<Vec<u8>>, u64) {
    let (mut all, mut size, mut live) = (Vec::with_capacity(bytes / least), least, 0);
    while live < bytes {
        all.push(Vec::with_capacity(black_box(size)));
        live += size;
        size = if size >= most { least } else { size * 2 - size / 8 };
    }
    let own = all.capacity() * size_of::<Vec<u8>>();
    (all, (live + own) as u64)
}

fn truth() {
    Strata::profile_start(RATE);
    assert_eq!(Strata::profile_rate(), Some(RATE));
    let before = (in_use(), allocated());
    let (small, bytes) = blocks(64 << 20, 200, 30_000);
    assert_near(in_use().bytes - before.0.bytes, bytes);
    let (found, exact) = (in_use().blocks - before.0.blocks, small.len() as u64 + 1);
    assert!(found.abs_diff(exact) * 5 < exact, "{found} blocks instead of {exact}");
    let (large, more) = blocks(192 << 20, 40_000, 3 << 20);
    assert_near(in_use().bytes - before.0.bytes, bytes + more);
    drop(small);
    assert_near(in_use().bytes - before.0.bytes, more);
    assert_near(allocated().bytes - before.1.bytes, bytes + more);
    drop(large);
    let left = in_use().bytes - before.0.bytes;
    assert!(left < 1 << 20, "{left} bytes are in use after all were freed");
    assert_eq!(Strata::profile_dropped(), 0);
}

/// Blocks that grow in place are what they are now.
fn resized() {
    Strata::profile_start(RATE);
    let before = in_use().bytes;
    let mut blocks: Vec<Vec<u8>> = (0..100).map(|_| Vec::new()).collect();
    for size in [100, 20_000, 100_000, 900_000, 3_000_000] {
        blocks.iter_mut().for_each(|block| block.reserve_exact(size));
    }
    assert_near(in_use().bytes - before, 300_000_000);
    blocks.iter_mut().for_each(|block| block.shrink_to(300_000));
    assert_near(in_use().bytes - before, 30_000_000);
    drop(blocks);
    assert!(in_use().bytes - before < 1 << 20);
}

/// What was sampled is forgotten when it is freed, at whatever time and in whatever thread.
fn freed_after_the_switch() {
    Strata::profile_start(RATE);
    let before = in_use().bytes;
    let (kept, bytes) = blocks(32 << 20, 100, 60_000);
    let (passed, more) = blocks(32 << 20, 100, 60_000);
    Strata::profile_stop();
    assert_eq!(Strata::profile_rate(), None);
    let (unseen, _) = blocks(32 << 20, 100, 60_000);
    assert_near(in_use().bytes - before, bytes + more);
    thread::spawn(move || drop(passed)).join().unwrap();
    assert_near(in_use().bytes - before, bytes);
    drop((kept, unseen));
    assert!(in_use().bytes - before < 1 << 20);
    // And on again: the thread is profiled as before.
    Strata::profile_start(RATE);
    let (again, bytes) = blocks(32 << 20, 100, 60_000);
    assert_near(in_use().bytes - before, bytes);
    drop(again);
}

/// A thread that only takes blocks from its magazine and puts them back never refills.
fn pops_and_pushes() {
    let (warm, stop) = (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)));
    let pairs = Arc::new(AtomicUsize::new(0));
    let thread = {
        let (warm, stop, pairs) = (warm.clone(), stop.clone(), pairs.clone());
        thread::spawn(move || {
            drop(Box::new([0u64; 4]));
            warm.wait();
            while !stop.load(Ordering::Relaxed) {
                drop(black_box(Box::new([0u64; 4])));
                pairs.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    warm.wait();
    for _ in 0..3 {
        let before = allocated().bytes;
        let begun = Instant::now();
        Strata::profile_start(RATE);
        while allocated().bytes - before < 100 * RATE as u64 {
            assert!(begun.elapsed() < Duration::from_secs(1), "the thread is not profiled");
            thread::sleep(Duration::from_millis(1));
        }
        Strata::profile_stop();
        thread::sleep(Duration::from_millis(20));
        let (stopped, done) = (allocated().bytes, pairs.load(Ordering::Relaxed));
        while pairs.load(Ordering::Relaxed) < done + 100_000 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(allocated().bytes, stopped, "the thread is still profiled");
    }
    // The numbers of pairs are known only while no switch is under way.
    Strata::profile_start(RATE);
    thread::sleep(Duration::from_millis(20));
    let (before, done) = (allocated().bytes, pairs.load(Ordering::Relaxed));
    while pairs.load(Ordering::Relaxed) < done + 4_000_000 {
        thread::sleep(Duration::from_millis(1));
    }
    let (after, now) = (allocated().bytes, pairs.load(Ordering::Relaxed));
    assert_near(after - before, (now - done) as u64 * 32);
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

/// Threads come and go, and blocks are freed by others than allocated them.
fn a_thousand_threads() {
    Strata::profile_start(RATE);
    let before = (in_use().bytes, allocated().bytes);
    let mut live = 0;
    let mut kept = Vec::new();
    for _ in 0..10 {
        let threads: Vec<_> = (0..100)
            .map(|_| {
                thread::spawn(|| {
                    let (gone, _) = blocks(100_000, 50, 5_000);
                    drop(gone);
                    blocks(300_000, 50, 50_000)
                })
            })
            .collect();
        for thread in threads {
            let (blocks, bytes) = thread.join().unwrap();
            kept.push(blocks);
            live += bytes;
        }
    }
    assert_near(in_use().bytes - before.0, live);
    assert!(allocated().bytes - before.1 > live + 100_000_000);
    drop(kept);
    let left = in_use().bytes - before.0;
    assert!(left < 2 << 20, "{left} bytes are in use after all were freed");
}

/// Where small blocks are pages, each layout of their class frees and resizes them, however it is
/// aligned, and in any thread.
fn layouts() {
    // Each allocation is a sample.
    Strata::profile_start(1);
    let before = (in_use().bytes, allocated().blocks);
    let mut made = 0;
    for align in (0..=15).map(|log| 1 << log) {
        let layouts = (1..=32 << 10).step_by(331).map(|size| (size, align));
        let get = |(size, align)| {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout is not empty.
            let block = unsafe { GLOBAL.alloc(layout) };
            assert!(!block.is_null() && block.addr().is_multiple_of(align));
            (block.expose_provenance(), layout)
        };
        let put = |(block, layout): (usize, Layout)| {
            // SAFETY: the block has this layout.
            unsafe { GLOBAL.dealloc(std::ptr::with_exposed_provenance_mut(block), layout) };
        };
        made += 2 * layouts.clone().count() as u64;
        layouts.clone().map(get).for_each(put);
        let passed: Vec<_> = layouts.clone().map(get).collect();
        thread::spawn(move || passed.into_iter().for_each(put)).join().unwrap();
        for new in [1, 5_000, 9_000, 17_000, 30_000, 40_000, 1 << 20, 3 << 20] {
            for (block, layout) in layouts.clone().step_by(4).map(get) {
                let block = std::ptr::with_exposed_provenance_mut(block);
                // SAFETY: the block has this layout.
                let moved = unsafe { GLOBAL.realloc(block, layout, new) };
                assert!(!moved.is_null());
                put((moved.expose_provenance(), Layout::from_size_align(new, align).unwrap()));
            }
        }
        // In place, if all are one class: what names the block then is another layout.
        let (block, layout) = get((align.div_ceil(2), align));
        // SAFETY: the block has this layout.
        let block =
            unsafe { GLOBAL.realloc(std::ptr::with_exposed_provenance_mut(block), layout, align) };
        put((block.expose_provenance(), Layout::from_size_align(align, align).unwrap()));
    }
    assert!(allocated().blocks - before.1 > made / 100 * 99, "blocks were not sampled");
    assert!(in_use().bytes < before.0 + (1 << 20));
    assert_eq!(Strata::profile_dropped(), 0);
}

/// Under a limit that leaves no pages, small blocks are allocated as without a profile: a sample
/// that gets no page is dropped, and nothing is purged for it.
fn no_pages() {
    type Small = Box<[u64; 8]>;
    let mut spare: Vec<Option<Small>> = (0..20_000).map(|_| Some(Box::default())).collect();
    let (mut taken, mut kept) = (Vec::with_capacity(100_000), Vec::<Small>::with_capacity(50_000));
    // Free blocks, but no free pages.
    spare.iter_mut().step_by(2).for_each(|block| *block = None);
    Strata::set_hard_limit(Strata::stats().committed_bytes());
    while taken.len() < taken.capacity() {
        let mut pages: Vec<u8> = Vec::new();
        if pages.try_reserve_exact(33_000).is_err() {
            break;
        }
        taken.push(pages);
    }
    // Each allocation is a sample.
    Strata::profile_start(1);
    while Strata::profile_dropped() == 0 && kept.len() < kept.capacity() {
        kept.push(Box::default());
    }
    let (dropped, purged) = (Strata::profile_dropped(), Strata::stats().purged_bytes());
    assert_ne!(dropped, 0, "the sample waits for a page");
    for _ in 0..5_000 {
        drop(black_box(Small::default()));
    }
    assert_eq!(Strata::profile_dropped() - dropped, 5_000);
    assert_eq!(Strata::stats().purged_bytes(), purged);
    Strata::set_hard_limit(0);
    drop((taken, kept, spare));
}

/// No more sampled blocks and stacks are taken than there is room for; no page is taken for more.
fn full_tables() {
    Strata::profile_start(1);
    let mut kept = Vec::with_capacity(100_000);
    while kept.len() < kept.capacity() {
        kept.push(Box::new([0u64; 4]));
    }
    let of = |blocks: &[Box<[u64; 4]>]| {
        let places = blocks.iter().map(|block| block.as_ptr().addr());
        places.filter(|place| place.is_multiple_of(4096)).count()
    };
    let (first, last) = kept.split_at(60_000);
    assert!(of(first) > 57_000, "{} blocks are pages", of(first));
    assert!(of(last) < 1000, "{} blocks are pages", of(last));
    assert!(Strata::profile_dropped() > 39_000);
    let dropped = Strata::profile_dropped();
    drop(kept);
    drop(black_box(Box::new([0u64; 4])));
    assert_eq!(Strata::profile_dropped(), dropped, "there is room again");
}

/// There are no more stacks than there is room for; what is allocated at others is known.
fn many_stacks() {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    assert!(Strata::profile_unwinder(Some(|_, _, frames| {
        frames[0] = NEXT.fetch_add(1, Ordering::Relaxed);
        1
    })));
    Strata::profile_start(1);
    let (stacks, before) = (Strata::profile().count(), allocated().bytes);
    for _ in 0..10_000 {
        drop(black_box(Box::new([0u64; 8])));
    }
    assert_near(allocated().bytes - before, 640_000);
    assert_eq!(stacks, 1);
    assert_eq!(Strata::profile().count(), 6_144 + 1);
    assert_eq!(Strata::profile_dropped(), 0);
}

/// A thread that is profiled follows from one rate to another.
fn another_rate() {
    // Pages ask for the rate themselves.
    let small = |count| {
        for _ in 0..count {
            drop(black_box(Box::new([0u64; 8])));
        }
    };
    Strata::profile_start(1 << 40);
    small(1000);
    Strata::profile_start(RATE);
    let before = allocated().bytes;
    small(1 << 20);
    assert_near(allocated().bytes - before, 64 << 20);
}

/// The child of a fork goes on, with the numbers of its parent.
fn forks() {
    Strata::profile_start(RATE);
    let busy = Arc::new(AtomicBool::new(true));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let busy = busy.clone();
            thread::spawn(move || {
                while busy.load(Ordering::Relaxed) {
                    drop(blocks(100_000, 50, 50_000));
                }
            })
        })
        .collect();
    let (kept, bytes) = blocks(32 << 20, 100, 60_000);
    for _ in 0..100 {
        // SAFETY: the child allocates, frees and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: a plain call.
            unsafe { libc::alarm(20) };
            let before = in_use().bytes;
            let (more, also) = blocks(32 << 20, 100, 60_000);
            assert_near(in_use().bytes - before, also);
            drop(more);
            assert!(in_use().bytes < before + (1 << 20));
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: waits for the child.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
    }
    busy.store(false, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(in_use().bytes >= bytes / 20 * 19);
    drop(kept);
}

/// Signal handlers allocate and free, in the midst of samples, too.
fn signals() {
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn handler(_: i32) {
        for size in [24, 700, 5_000, 40_000] {
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: the block has this layout.
            unsafe {
                let block = GLOBAL.alloc(layout);
                assert!(!block.is_null());
                block.write_bytes(1, size);
                GLOBAL.dealloc(block, layout);
            }
        }
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler does what handlers may under this allocator.
    unsafe {
        let handler = handler as extern "C" fn(i32);
        libc::signal(libc::SIGALRM, handler as libc::sighandler_t);
        let often = libc::timeval { tv_sec: 0, tv_usec: 300 };
        let timer = libc::itimerval { it_interval: often, it_value: often };
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
    // Nearly each allocation is a sample.
    Strata::profile_start(256);
    let before = in_use().bytes;
    let begun = Instant::now();
    while HANDLED.load(Ordering::Relaxed) < 3000 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        drop(blocks(1 << 20, 100, 60_000));
    }
    let (kept, bytes) = blocks(8 << 20, 1000, 60_000);
    assert_near(in_use().bytes - before, bytes);
    drop(kept);
    assert!(in_use().bytes < before + (1 << 16));
}

#[test]
fn child() {
    match case().as_deref() {
        Some("truth") => truth(),
        Some("resized") => resized(),
        Some("freed after the switch") => freed_after_the_switch(),
        Some("pops and pushes") => pops_and_pushes(),
        Some("a thousand threads") => a_thousand_threads(),
        Some("layouts") => layouts(),
        Some("no pages") => no_pages(),
        Some("full tables") => full_tables(),
        Some("many stacks") => many_stacks(),
        Some("another rate") => another_rate(),
        Some("forks") => forks(),
        Some("signals") => signals(),
        _ => return,
    }
    at_end();
}

#[test]
fn what_is_in_use_is_known() {
    succeeds("truth");
}

#[test]
fn blocks_that_are_resized_count_as_they_are() {
    succeeds("resized");
}

#[test]
fn frees_are_seen_after_the_profile_was_switched_off() {
    succeeds("freed after the switch");
}

#[test]
fn a_thread_that_never_refills_follows_the_switch() {
    succeeds("pops and pushes");
}

#[test]
fn threads_that_end_leave_true_numbers() {
    succeeds("a thousand threads");
}

#[test]
fn sampled_blocks_of_all_layouts_are_freed_and_resized() {
    succeeds("layouts");
}

#[test]
fn samples_without_pages_are_dropped() {
    succeeds("no pages");
}

#[test]
fn full_tables_take_no_pages() {
    succeeds("full tables");
}

#[test]
fn stacks_beyond_the_bound_are_one() {
    succeeds("many stacks");
}

#[test]
fn a_profiled_thread_follows_another_rate() {
    succeeds("another rate");
}

#[test]
fn children_of_forks_are_profiled() {
    succeeds("forks");
}

#[test]
fn signal_handlers_interrupt_samples() {
    succeeds("signals");
}

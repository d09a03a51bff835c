//! Calls that fail: each one, each kind, all of them, and those of the start.

use std::alloc::GlobalAlloc;
use std::time::{Duration, Instant};

use crate::common::{Block, is_zero, layout};
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::strata::Strata;
use crate::sys::{self, Call};
use crate::workload::{ALLOC, SLACK, TRACELESS, all_is_well, at_rest, warm_up, workload};

/// The k-th call of any kind fails, for each k in turn.
pub(crate) fn each_call_fails() {
    warm_up();
    let before = at_rest();
    let released = sys::calls(Call::Release);
    let mut refused = 0;
    for k in 1..=300 {
        sys::fail_any_nth(k, 1);
        refused += workload(k).refused;
        all_is_well(k);
        at_rest();
    }
    // A release that failed leaves its addresses mapped for ever.
    let lost = sys::mapped_bytes() as isize - before as isize;
    eprintln!(
        "{refused} refused, {lost} bytes lost, {} releases",
        sys::calls(Call::Release) - released
    );
    assert!(lost <= (300 * 4) << 20);
}

/// Each kind of call fails, once and from then on, at each of its calls.
pub(crate) fn each_kind_fails() {
    warm_up();
    for call in TRACELESS {
        let before = at_rest();
        let mut refused = 0;
        for k in 1..=25 {
            sys::fail_nth(call, k, 1);
            refused += workload(k).refused;
            sys::fail_nth(call, k, u64::MAX);
            refused += workload(k + 1).refused;
            sys::clear_failures();
        }
        all_is_well(1);
        let after = at_rest();
        eprintln!("{call:?}: {refused} refused, {before} to {after} mapped");
        // A thread whose end is not reported leaves its magazines full.
        let lost = if call == Call::ArmThreadExit { 100 * (160 << 10) } else { 0 };
        assert!(after <= before + SLACK + lost, "{call:?} left something mapped");
    }
}

/// A program asks again and again for memory that there is not: each time the system is asked
/// once, and little else. As soon as there is memory, it is served.
pub(crate) fn refusals_are_cheap() {
    const TIMES: u64 = 10_000;
    crate::options::apply(b"helper:false");
    warm_up();
    let get = |size| Block::new(&ALLOC, size, 8);
    let live: Vec<Block> = (0..30_000).map(|_| get(2000).unwrap()).collect();
    let all_calls = || {
        let others = [Call::Purge, Call::Release, Call::Protect, Call::ReadFile, Call::AdviseHuge];
        (sys::calls(Call::MapAt), others.map(sys::calls).iter().sum::<u64>())
    };
    for size in [64, 5000, 100_000, 1 << 20] {
        sys::fail_nth(Call::MapAt, 1, u64::MAX);
        // What is left of the heap.
        let rest: Vec<Block> = core::iter::from_fn(|| get(size)).collect();
        let before = all_calls();
        let served = (0..TIMES).filter(|_| get(size).is_some()).count();
        let after = all_calls();
        eprintln!("{size} B: {before:?} to {after:?}, {served} served");
        assert_eq!(served, 0);
        assert!(after.0 <= before.0 + 2 * TIMES && after.1 <= before.1 + TIMES / 50);
        sys::clear_failures();
        get(size).expect("there is memory again").free(&ALLOC);
        rest.into_iter().for_each(|block| block.free(&ALLOC));
    }
    live.into_iter().for_each(|block| block.free(&ALLOC));
    all_is_well(1);
}

/// A purge of spans in use that the system refuses makes no holes; one that it does not refuse
/// makes them.
pub(crate) fn refused_purges_make_no_holes() {
    crate::options::apply(b"helper:false,thp:never");
    warm_up();
    let blocks = (0..200_000).map(|_| Block::new(&ALLOC, 256, 8).unwrap());
    let (kept, freed): (Vec<_>, Vec<_>) = blocks.enumerate().partition(|(n, _)| n % 64 == 0);
    let free_all = |blocks: Vec<(usize, Block)>| {
        blocks.into_iter().for_each(|(_, block)| block.free(&ALLOC));
        Strata::thread_idle();
    };
    // Frees purge as well, when it is time.
    sys::fail_nth(Call::Purge, 1, u64::MAX);
    free_all(freed);
    let loose = usage::loose();
    assert!(loose > 40 << 20, "{loose} bytes are loose");
    Strata::purge();
    // Spare caches may have given some back.
    assert!(usage::loose() >= loose, "{} of {loose}", usage::loose());
    sys::clear_failures();
    Strata::purge();
    assert!(usage::loose() < loose / 4, "{} of {loose}", usage::loose());
    free_all(kept);
    all_is_well(1);
}

/// All calls fail for a while.
pub(crate) fn all_calls_fail() {
    warm_up();
    let before = at_rest();
    for k in 1..40 {
        sys::fail_any_nth(k, u64::MAX);
        workload(k);
        workload(k + 1);
        sys::clear_failures();
        all_is_well(k);
    }
    let lost = at_rest() as isize - before as isize;
    eprintln!("{lost} bytes lost");
}

/// The first calls of the process fail. Setting up succeeds once they do not.
pub(crate) fn set_up_fails(k: u64, count: u64) {
    sys::fail_any_nth(k, count);
    let mut refused = 0;
    let mut first = None;
    for _ in 0..20 {
        for size in [16, 1000, 40_000, 2 << 20] {
            match Block::new(&ALLOC, size, 8) {
                Some(block) => first = Some(block),
                None => refused += 1,
            }
        }
    }
    assert!(count < 1000 || refused > 0 || k > 8);
    sys::clear_failures();
    if let Some(block) = first {
        block.free(&ALLOC);
    }
    all_is_well(k);
    let before = at_rest();
    all_is_well(k + 1);
    assert!(at_rest() <= before + SLACK);
}

/// When purging fails, zeroed blocks are cleared by writing.
pub(crate) fn zero_without_purging() {
    warm_up();
    sys::fail_nth(Call::Purge, 1, u64::MAX);
    sys::fail_nth(Call::Release, 1, u64::MAX);
    for size in [8, 24, 64, 1000, 5000, 32 << 10, 33 << 10, 100 << 10, 1 << 20, 3 << 20] {
        for round in 0..3 {
            let layout = layout(size, 8);
            // SAFETY: the sizes are not 0; the blocks are ours and that large.
            unsafe {
                let blocks: Vec<_> = (0..40).map(|_| ALLOC.alloc(layout)).collect();
                for block in &blocks {
                    assert!(!block.is_null());
                    block.write_bytes(0xa5, size);
                }
                // Some blocks stay, so that chunks are purged in part.
                let (kept, freed) = blocks.split_at(8);
                for group in freed.chunks(4) {
                    group[1..].iter().for_each(|block| ALLOC.dealloc(*block, layout));
                }
                Strata::purge();
                let again: Vec<_> = (0..24).map(|_| ALLOC.alloc_zeroed(layout)).collect();
                for block in &again {
                    assert!(!block.is_null() && is_zero(*block, size), "{size}, round {round}");
                    block.write_bytes(0x5a, size);
                }
                let rest = freed.chunks(4).map(|group| &group[0]);
                for block in again.iter().chain(kept).chain(rest) {
                    ALLOC.dealloc(*block, layout);
                }
            }
        }
    }
    assert!(sys::calls(Call::Purge) > 0);
    all_is_well(3);
}

/// Every release fails for a long time. The memory is purged all the same, and the
/// addresses are used again.
pub(crate) fn releases_fail() {
    warm_up();
    Strata::purge();
    let before = sys::committed_bytes();
    sys::fail_nth(Call::Release, 1, u64::MAX);
    for round in 0..30 {
        let outcome = workload(round);
        assert_eq!(outcome.refused, 0);
    }
    Strata::purge();
    assert!(sys::committed_bytes() <= before + SLACK);
    all_is_well(2);
}

/// The system does not tell the helper the time, while it waits to look again. Later it does,
/// and free memory is purged.
pub(crate) fn the_clock_is_refused() {
    const HELD: usize = 200 << 20;
    let begin = 1_000_000;
    sys::set_monotonic_ms(Some(begin));
    let blocks: Vec<Block> =
        (0..HELD >> 12).map(|_| Block::new(&ALLOC, 4096, 8).unwrap()).collect();
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
    assert!(sys::calls(Call::StartTask) != 0, "there is a helper");
    sys::set_monotonic_ms(Some(0));
    // It looks several times.
    std::thread::sleep(Duration::from_millis(1500));
    let end = Instant::now() + Duration::from_secs(20);
    let mut now = begin;
    while COMMITTED.bytes() > HELD / 2 {
        assert!(Instant::now() < end, "{} are committed", COMMITTED.bytes());
        now += 5_000;
        sys::set_monotonic_ms(Some(now));
        std::thread::sleep(Duration::from_millis(50));
    }
    sys::set_monotonic_ms(None);
}

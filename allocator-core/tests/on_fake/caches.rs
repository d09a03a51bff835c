//! What caches hand out, and what becomes of them when their threads end.

use std::sync::Barrier;
use std::thread;

use super::{ALLOC, all_is_well, warm_up};
use crate::common::{self, Block};
use crate::strata::Strata;
use crate::sys::{self, Call};
use crate::thread::registry;

pub(crate) fn child(case: &str) {
    match case {
        "last" => what_was_freed_last_comes_first(),
        "received" => no_received_block_is_lost(),
        "ended" => end_meanwhile(),
        "spare" => few_are_spare_for_a_while(),
        "room" => spares_make_room(),
        _ => panic!("{case}?"),
    }
}

#[test]
fn blocks_come_back_and_the_warm_ones_first() {
    common::succeeds("2 caches last");
    common::succeeds("2 caches received");
}

#[test]
fn caches_of_ended_threads_are_looked_at_used_and_ended() {
    for case in ["ended", "spare", "room"] {
        common::succeeds(&format!("2 caches {case}"));
    }
}

/// Whoever looks through the threads may be slower than a thread that ends and the purge
/// of its cache: the heap stays, and the cache reads as anything.
fn end_meanwhile() {
    warm_up();
    let (began, end) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            Block::new(&ALLOC, 100, 8).unwrap().free(&ALLOC);
            began.wait();
            end.wait();
        });
        began.wait();
        let seen: Vec<_> = registry::threads().collect();
        assert!(!seen.is_empty());
        end.wait();
        other.join().unwrap();
        registry::end_spares(true);
        assert!(registry::purge() != 0, "no cache was purged");
        for (heap, cache) in seen {
            heap.observe_idle(0);
            cache.request_flush();
            assert!(cache.cached(3) <= 8191);
        }
    });
    all_is_well(1);
}

fn block() -> Block {
    Block::new(&ALLOC, SIZE, 8).unwrap()
}

/// Bytes of the blocks here.
const SIZE: usize = 112;

/// However many blocks of a size that it uses much a thread frees, those that it freed last are the
/// first that it gets.
fn what_was_freed_last_comes_first() {
    warm_up();
    let many: Vec<Block> = (0..5000).map(|_| block()).collect();
    many.into_iter().for_each(|block| block.free(&ALLOC));
    for count in (2..200).chain((200..5000).step_by(37)) {
        let blocks: Vec<Block> = (0..count).map(|_| block()).collect();
        let last: Vec<_> = blocks.iter().rev().take(2).map(|block| block.ptr).collect();
        blocks.into_iter().for_each(|block| block.free(&ALLOC));
        let first = [block(), block()];
        assert!(first.iter().map(|block| block.ptr).eq(last), "of {count} blocks");
        first.into_iter().for_each(|block| block.free(&ALLOC));
    }
}

/// Another thread frees any number of blocks, and their owner takes some before it ends: none is lost
/// on the way.
fn no_received_block_is_lost() {
    warm_up();
    let live = || {
        Strata::purge();
        Strata::stats().live_bytes()
    };
    let before = live();
    for (count, size) in (1..150).flat_map(|count| [(count, 48), (count, SIZE), (count, 1500)]) {
        thread::spawn(move || {
            let some = |count| (0..count).map(|_| Block::new(&ALLOC, size, 8).unwrap());
            let blocks: Vec<Block> = some(count).collect();
            thread::spawn(|| blocks.into_iter().for_each(|block| block.free(&ALLOC)))
                .join()
                .unwrap();
            some(1 + count / 4).for_each(|block| block.free(&ALLOC));
        })
        .join()
        .unwrap();
        assert_eq!(live(), before, "{count} blocks of {size} bytes");
    }
}

/// Of the caches of threads that end, eight stay for others, each until nobody needed it for two
/// looks.
fn few_are_spare_for_a_while() {
    const MOST: usize = 8;
    warm_up();
    registry::end_spares(true);
    let own = registry::threads().count();
    let spare = || registry::threads().count() - own;
    let one_ends = || {
        thread::spawn(|| (0..200).map(|_| block()).for_each(|block| block.free(&ALLOC)))
            .join()
            .unwrap();
    };
    one_ends();
    one_ends();
    assert_eq!(spare(), 1, "the second began with that of the first");
    assert!(!registry::end_spares(false), "nobody looked before");
    one_ends();
    assert!(!registry::end_spares(false), "it was used since");
    assert_eq!(spare(), 1);
    assert!(registry::end_spares(false));
    assert_eq!(spare(), 0);

    let all_here = Barrier::new(20);
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let one = block();
                all_here.wait();
                one.free(&ALLOC);
            });
        }
    });
    assert_eq!(spare(), MOST);
    assert!(registry::end_spares(true));
    assert_eq!(spare(), 0);
    assert!(!registry::end_spares(true));
}

/// Where memory is refused, what spare caches hold serves instead.
fn spares_make_room() {
    warm_up();
    Strata::purge();
    const COUNT: usize = 4000;
    thread::spawn(|| {
        let blocks: Vec<Block> = (0..COUNT).map(|_| block()).collect();
        blocks.into_iter().for_each(|block| block.free(&ALLOC));
    })
    .join()
    .unwrap();
    sys::fail_nth(Call::MapAt, 1, u64::MAX);
    let rest: Vec<Block> = std::iter::from_fn(|| Block::new(&ALLOC, SIZE, 8)).collect();
    sys::clear_failures();
    assert_eq!(Strata::stats().cached_bytes(), 0, "of {} blocks", rest.len());
    rest.into_iter().for_each(|block| block.free(&ALLOC));
}

//! A sleeping thread holds little memory: blocks of it that other threads freed are
//! used again, or purged.

mod common;

use allocator_core::Strata;
use common::{Block, Random, anonymous, mib};
use std::sync::mpsc;
use std::thread;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;

/// Blocks of many sizes.
fn blocks(count: usize, seed: u64) -> Vec<Block> {
    let mut random = Random(seed);
    let block = |_| {
        let size = random.size(11);
        Block::new(&GLOBAL, size, 8).unwrap()
    };
    (0..count).map(block).collect()
}

/// Starts a thread that allocates blocks for the caller. It sleeps until the sender
/// is dropped.
fn sleeper(count: usize, seed: u64) -> (Vec<Block>, mpsc::Sender<()>) {
    let (send, receive) = mpsc::channel();
    let (wake, woken) = mpsc::channel::<()>();
    thread::spawn(move || {
        send.send(blocks(count, seed)).unwrap();
        let _ = woken.recv();
    });
    (receive.recv().unwrap(), wake)
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
}

fn is_used_again() {
    let (made, _asleep) = sleeper(100_000, 1);
    let full = Strata::stats().mapped_bytes();
    let physical = anonymous();
    free(made);
    let again = blocks(100_000, 2);
    let now = (Strata::stats().mapped_bytes(), anonymous());
    eprintln!(
        "{:.1} to {:.1} MiB mapped, {:.1} to {:.1} held",
        mib(full),
        mib(now.0),
        mib(physical),
        mib(now.1)
    );
    assert!(now.0 <= full + full / 4 + 2 * MIB);
    assert!(now.1 <= physical + physical / 4 + 2 * MIB);
    // Other threads can use it, too.
    free(again);
    let threads: Vec<_> =
        (0..4).map(|seed| thread::spawn(move || blocks(25_000, 3 + seed))).collect();
    let again: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let now = (Strata::stats().mapped_bytes(), anonymous());
    eprintln!("{:.1} MiB mapped, {:.1} held by others", mib(now.0), mib(now.1));
    assert!(now.0 <= full + full / 4 + 4 * MIB);
    assert!(now.1 <= physical + physical / 4 + 4 * MIB);
    free(again);
}

fn goes_back() {
    const SLEEPERS: usize = 16;
    Strata::purge();
    let before = anonymous();
    let (made, _asleep): (Vec<_>, Vec<_>) =
        (0..SLEEPERS).map(|n| sleeper(20_000, n as u64 + 1)).unzip();
    let full = anonymous();
    made.into_iter().for_each(free);
    Strata::purge();
    let after = anonymous();
    eprintln!("{:.2} to {:.2} to {:.2} MiB", mib(before), mib(full), mib(after));
    assert!(full > before + 30 * MIB);
    // The blocks in magazines keep spans whose other blocks are free. The stacks of
    // the threads and the metadata of spans count as well.
    assert!(after <= before + SLEEPERS * MIB + 2 * MIB);
    let stats = Strata::stats();
    assert!(stats.cached_bytes() <= (SLEEPERS + 3) * (64 << 10), "{}", stats.cached_bytes());
}

/// A thread that freed much and then does little puts its magazines away, although
/// they serve all its requests.
fn is_asked() {
    let mut made = blocks(100_000, 1);
    let mut random = Random(2);
    for i in (1..made.len()).rev() {
        made.swap(i, random.below(i + 1));
    }
    free(made);
    assert!(Strata::stats().cached_bytes() > 128 << 10);
    for _ in 0..3000 {
        free(blocks(1, 3));
        if Strata::stats().cached_bytes() < 32 << 10 {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} bytes are still cached", Strata::stats().cached_bytes());
}

/// Blocks of one size, all of whose pages are written to.
fn equal(count: usize) -> Vec<Block> {
    let block = |_| {
        let block = Block::new(&GLOBAL, SIZE, 8).unwrap();
        // SAFETY: the block is ours.
        unsafe { block.ptr.write_bytes(7, SIZE) };
        block
    };
    (0..count).map(block).collect()
}

/// Small enough that they are sent in batches.
const SIZE: usize = 400;
/// Fewer than whoever frees them sends before it puts them into their spans itself, as it does
/// where as many batches wait.
const WAITING: usize = 10_000;
const SENT: usize = WAITING * SIZE;

/// Threads take the batches that were sent to them, use some blocks, and sleep.
fn what_was_received_goes_back() {
    const THREADS: usize = 8;
    let (send, receive) = mpsc::channel();
    let (took, taken) = mpsc::channel();
    let start = || {
        let (send, took) = (send.clone(), took.clone());
        let (wake, woken) = mpsc::channel::<()>();
        thread::spawn(move || {
            send.send(equal(WAITING)).unwrap();
            woken.recv().unwrap();
            let some = equal(200);
            took.send(()).unwrap();
            let _ = woken.recv();
            free(some);
        });
        (receive.recv().unwrap(), wake)
    };
    let (made, wake): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| start()).unzip();
    let full = anonymous();
    for (made, wake) in made.into_iter().zip(&wake) {
        free(made);
        wake.send(()).unwrap();
        taken.recv().unwrap();
    }
    Strata::purge();
    let after = anonymous();
    eprintln!("{:.1} to {:.1} MiB", mib(full), mib(after));
    assert!(after + THREADS * SENT * 3 / 4 < full);
}

/// A thread has ended, so that what it allocated belongs to an arena, from which nobody
/// draws. It is freed, and nobody does anything any more.
fn what_was_sent_to_an_arena_goes_back() {
    let (_made, _asleep) = sleeper(1, 1);
    let large = || Block::new(&GLOBAL, 64 << 10, 8).unwrap();
    let excess = (0..128).map(|_| large()).collect();
    let made = thread::spawn(|| equal(WAITING)).join().unwrap();
    let full = anonymous();
    free(made);
    // Makes whoever looks after free memory start.
    free(excess);
    for _ in 0..3000 {
        if anonymous() + SENT * 3 / 4 < full {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{:.1} to {:.1} MiB", mib(full), mib(anonymous()));
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "used-again" => is_used_again(),
        "goes-back" => goes_back(),
        "is-asked" => is_asked(),
        "received" => what_was_received_goes_back(),
        "arena" => what_was_sent_to_an_arena_goes_back(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn what_a_sleeping_thread_had_is_used_again() {
    common::succeeds("used-again");
}

#[test]
fn what_a_sleeping_thread_had_goes_back() {
    common::succeeds("goes-back");
}

#[test]
fn what_a_thread_that_does_little_had_goes_back() {
    common::succeeds("is-asked");
}

#[test]
fn what_a_sleeping_thread_received_goes_back() {
    common::succeeds("received");
}

#[test]
fn what_nobody_draws_from_an_arena_goes_back() {
    common::succeeds("arena");
}

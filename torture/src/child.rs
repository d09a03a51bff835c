//! Operations in the child of a fork, which has one thread and whatever the others left.

use std::sync::atomic::Ordering;

use fastrand::Rng;

use crate::filter::Filter;
use crate::operation::Operation;
use crate::threads;
use crate::violated;
use crate::world::{Tally, World, set_filtered};

/// Bits of what a child does.
const FREES_ALL: u8 = 1;
const STARTS_THREADS: u8 = 2;
const FORKS: u8 = 4;
const HAS_LIMIT: u8 = 8;
const HAS_FILTER: u8 = 16;

/// Forks, lets the child work, and waits for it.
pub(crate) fn fork(world: &'static World, work: u8) {
    Tally::count(&world.tally.forks);
    threads::fork("the child of a fork", || run(world, work));
}

fn run(world: &'static World, work: u8) {
    world.is_child.store(true, Ordering::Relaxed);
    for index in 0..world.places.len() {
        if let Some(held) = world.place(index).as_deref().and_then(Option::as_ref) {
            World::verify(held, held.ptr, held.usable);
        }
    }
    if work & HAS_LIMIT != 0 && world.settings.limits {
        limit_addresses();
    }
    if work & HAS_FILTER != 0 && world.settings.filters && Filter::new(work).install() {
        set_filtered();
    }
    some(world, u64::from(work));
    if work & STARTS_THREADS != 0 {
        let threads = [1, 2].map(|n| threads::start(move || some(world, u64::from(work) << n)));
        threads.into_iter().flatten().for_each(threads::Thread::join);
    }
    if work & FORKS != 0 {
        fork(world, work & !FORKS);
    }
    if work & FREES_ALL != 0 {
        world.free_all();
        world.subject.thread_idle();
        world.subject.purge();
    }
    if let Some(numbers) = world.subject.numbers() {
        let most = numbers.live.max(numbers.cached).max(numbers.committed).max(numbers.free);
        if most > 1 << 44 {
            violated!("in the child of a fork: {numbers:?}");
        }
    }
}

/// Some operations of a thread.
fn some(world: &World, seed: u64) {
    let mut random = Rng::with_seed(seed);
    for _ in 0..80 {
        world.work(&Operation::random(&mut random, &world.classes, 16));
    }
}

/// Few more addresses than are in use.
fn limit_addresses() {
    let used = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    if let Some(pages) = used {
        let most = pages * 4096 + (48 << 20);
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the limit is a valid one.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    }
}

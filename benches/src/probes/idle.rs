//! Most blocks are freed, then all threads sleep.

use std::sync::Barrier;
use std::thread;

use fastrand::Rng;

use super::block::{Block, Places};
use super::run::Run;

/// Threads that park.
const PARKING: usize = 4;
/// Size of their blocks.
const PARKED_SIZE: usize = 1000;
/// Blocks of each thread: 192 MiB in total.
const PARKED: usize = (192 << 20) / PARKED_SIZE / PARKING;

/// Blocks, of which one in twenty is kept.
const HOLED: usize = 300_000;

/// Threads free all of their blocks, and park.
pub(super) fn parked(run: &Run<'_>) {
    let blocks = run.scaled(PARKED);
    let gate = &Barrier::new(PARKING + 1);
    let member = move |seed: u64| {
        let mut places = Places::new(blocks);
        places.fill_with(|| Some(Block::new(PARKED_SIZE)));
        Rng::with_seed(seed).shuffle(&mut places);
        gate.wait();
        gate.wait();
        places.fill_with(|| None);
        drop(places);
        gate.wait();
        gate.wait();
    };
    thread::scope(|scope| {
        for n in 0..PARKING as u64 {
            scope.spawn(move || member(n));
        }
        gate.wait();
        run.read("peak", PARKING as u64 * Places::bytes(blocks));
        gate.wait();
        gate.wait();
        run.sleep();
        run.read("after", 0);
        gate.wait();
    });
}

/// Few of many blocks are kept, scattered over the memory.
pub(super) fn holes(run: &Run<'_>) {
    let mut rng = Rng::with_seed(100);
    let blocks = run.scaled(HOLED);
    let mut places = Places::new(blocks);
    places.fill_with(|| Some(Block::new(rng.usize(512..=2048))));
    rng.shuffle(&mut places);
    run.read("peak", Places::bytes(blocks));
    places[..blocks - blocks / 20].fill_with(|| None);
    drop(places);
    run.sleep();
    run.read("after", 0);
}

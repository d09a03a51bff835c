//! Blocks that are allocated by one thread and freed, or written next to, by
//! another.

use std::hint;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use super::block::Block;
use super::outcome::{Outcome, PASSES, rss_kib, scaled};
use super::team::team;

/// Waits for `ready`. It polls slowly, so that the two ends of a ring do not
/// contend for a cache line, which would dominate the measurement, and finally
/// yields the CPU.
fn wait_until(mut ready: impl FnMut() -> bool) {
    let mut looks = 0u32;
    while !ready() {
        looks += 1;
        if looks.is_multiple_of(16) {
            thread::yield_now();
        } else {
            for _ in 0..64 {
                hint::spin_loop();
            }
        }
    }
}

/// A bounded ring of 1,024 blocks: one thread allocates them, the other frees
/// them.
pub(crate) fn prodcons(scale: f64) -> Outcome {
    let ops = scaled(1_000_000, scale) as usize;
    let ring: Vec<AtomicPtr<u8>> = (0..1024).map(|_| AtomicPtr::default()).collect();
    team(
        2,
        ops as u64,
        |_| fastrand::Rng::with_seed(11),
        |thread, rng| {
            for i in 0..ops {
                let slot = &ring[i % ring.len()];
                if thread == 0 {
                    let block = Block::new(rng.usize(16..=256)).into_raw();
                    wait_until(|| slot.load(Ordering::Acquire).is_null());
                    slot.store(block, Ordering::Release);
                } else {
                    let mut block = ptr::null_mut();
                    wait_until(|| {
                        block = slot.load(Ordering::Acquire);
                        !block.is_null()
                    });
                    slot.store(ptr::null_mut(), Ordering::Release);
                    // SAFETY: published by the producer, taken by this thread
                    // alone.
                    drop(unsafe { Block::from_raw(block) });
                }
            }
        },
    )
}

/// Sixteen bytes that a thread writes.
type Small = Box<[AtomicU64; 2]>;

fn small() -> Small {
    Box::new([AtomicU64::new(0), AtomicU64::new(0)])
}

/// Two threads inherit neighbouring 16-byte blocks, `each` apiece, and then
/// free, allocate and write such blocks. If an allocator reuses the inherited
/// blocks, the threads write to shared cache lines.
pub(crate) fn fshare(scale: f64, each: usize) -> Outcome {
    const WRITES: usize = 32;
    let rounds = scaled(1_000_000 / each as u64, scale);
    let mut hands: [Vec<Small>; 2] = Default::default();
    for i in 0..2 * each {
        hands[i % 2].push(small());
    }
    let hands = hands.map(Mutex::new);
    team(
        2,
        2 * rounds * each as u64,
        |thread| mem::take(&mut *hands[thread].lock().unwrap()),
        |_, blocks| {
            for _ in 0..rounds {
                blocks.clear();
                blocks.extend((0..each).map(|_| small()));
                for block in blocks.iter() {
                    for i in 0..WRITES {
                        let word = &block[i % 2];
                        word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    }
                }
            }
        },
    )
}

/// One thread allocates a million blocks and parks. The other frees them,
/// allocates a million, frees them and allocates a million more; only the other
/// is timed.
pub(crate) fn parked(scale: f64) -> Outcome {
    let live = scaled(1_000_000, scale) as usize;
    let desk: Mutex<Vec<Block>> = Mutex::new(Vec::with_capacity(live));
    let gate = Barrier::new(2);
    let fill = |blocks: &mut Vec<Block>, rng: &mut fastrand::Rng| {
        for _ in 0..live {
            blocks.push(Block::new(rng.usize(16..=256)));
        }
    };
    let mut seconds = Vec::with_capacity(PASSES);
    let mut rss = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = fastrand::Rng::with_seed(12);
            for _ in 0..=PASSES {
                fill(&mut desk.lock().unwrap(), &mut rng);
                gate.wait();
                // Parked here until the other is done.
                gate.wait();
            }
        });
        scope.spawn(|| {
            let mut rng = fastrand::Rng::with_seed(13);
            let mut own = Vec::with_capacity(live);
            for n in 0..=PASSES {
                gate.wait();
                let mut foreign = desk.lock().unwrap();
                let start = Instant::now();
                foreign.clear();
                fill(&mut own, &mut rng);
                own.clear();
                fill(&mut own, &mut rng);
                if n > 0 {
                    seconds.push(start.elapsed().as_secs_f64());
                }
                rss = rss_kib();
                own.clear();
                drop(foreign);
                gate.wait();
            }
        });
    });
    Outcome::new(2 * live as u64, &seconds, rss)
}

/// 64 threads on one array of about 4.5 MiB of blocks.
pub(crate) fn threads64(scale: f64) -> Outcome {
    exchange(64, 34_688, scaled(32_000, scale))
}

/// Threads on one array of blocks: each operation puts a new block in a random slot and frees the
/// previous one.
pub(super) fn exchange(threads: usize, slots: usize, each: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(14);
    let slots: Vec<AtomicPtr<u8>> =
        (0..slots).map(|_| AtomicPtr::new(Block::new(rng.usize(16..=256)).into_raw())).collect();
    let outcome = team(
        threads,
        threads as u64 * each,
        |thread| fastrand::Rng::with_seed(15 + thread as u64),
        |_, rng| {
            for _ in 0..each {
                let fresh = Block::new(rng.usize(16..=256)).into_raw();
                let old = slots[rng.usize(..slots.len())].swap(fresh, Ordering::AcqRel);
                // SAFETY: the swap made this thread its only owner.
                drop(unsafe { Block::from_raw(old) });
            }
        },
    );
    for slot in slots {
        // SAFETY: the threads have exited, and the slot held its last block.
        drop(unsafe { Block::from_raw(slot.into_inner()) });
    }
    outcome
}

//! Threads that vanish in a fork, in the midst of their calls to the system: in the child, what
//! they were changing is whole, what they have stays theirs, and all else adds up.

use std::alloc::GlobalAlloc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::base::geometry::{CHUNK, UNIT};
use crate::common::{self, Block, Random};
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::process::{init, options};
use crate::strata::Strata;
use crate::sys;
use crate::workload::{ALLOC, all_is_well, warm_up};

/// Steps at which a child has threads vanish.
const STEPS: u64 = 40;

#[test]
fn what_vanished_threads_were_changing_is_whole() {
    for child in 0..6 {
        common::succeeds(&format!("2 vanish {}", 1 + child * STEPS));
    }
}

/// Blocks of all kinds. A block of the largest size is what a thread may lose that vanishes.
const SIZES: [usize; 12] = [
    16,
    100,
    1000,
    5000,
    20_000,
    40 << 10,
    100 << 10,
    300 << 10,
    700 << 10,
    (1 << 20) + 1,
    1_500_000,
    LARGEST,
];
const LARGEST: usize = 2 << 20;

/// What the fake counts and the allocator does not grows by no more: a mapping that a thread was
/// making, which nobody has touched, or some metadata.
const SLACK: isize = (LARGEST + CHUNK) as isize;

type Blocks = Arc<Mutex<Vec<Block>>>;

/// A block with contents of its own.
fn block(random: &mut Random) -> Block {
    let size = SIZES[random.below(SIZES.len())];
    filled(Block::new(&ALLOC, size, 8).unwrap())
}

fn filled(block: Block) -> Block {
    // SAFETY: the block is ours, and has so many bytes.
    unsafe { common::fill(block.ptr, block.layout.size().min(64), block.ptr.addr() as u64) };
    block
}

fn free(block: Block) {
    // SAFETY: likewise.
    let whole = unsafe {
        common::is_filled(block.ptr, block.layout.size().min(64), block.ptr.addr() as u64)
    };
    assert!(whole, "a block of {} bytes changed", block.layout.size());
    block.free(&ALLOC);
}

/// Takes a block out: while it is changed, nobody else knows of it.
fn take(blocks: &Blocks, random: &mut Random) -> Option<Block> {
    let mut blocks = blocks.lock().unwrap();
    let len = blocks.len();
    (len != 0).then(|| blocks.swap_remove(random.below(len)))
}

/// What the thread does that vanishes: it allocates, frees its blocks and those that it was given,
/// moves some, and purges.
fn deeds(mut random: Random, held: &Blocks, given: &Blocks) {
    for _ in 0..400 {
        match random.below(40) {
            0..=15 => {
                let block = block(&mut random);
                held.lock().unwrap().push(block);
            }
            16..=25 => {
                if let Some(block) = take(held, &mut random) {
                    free(block);
                }
            }
            26..=31 => {
                if let Some(block) = take(given, &mut random) {
                    free(block);
                }
            }
            32..=38 => {
                if let Some(block) = take(held, &mut random) {
                    let size = SIZES[random.below(SIZES.len())];
                    // SAFETY: the block is ours, and the size is not 0.
                    let ptr = unsafe { ALLOC.realloc(block.ptr, block.layout, size) };
                    let layout = common::layout(size, 8);
                    held.lock().unwrap().push(filled(Block { ptr, layout }));
                }
            }
            _ => {
                Strata::purge();
            }
        }
    }
}

fn free_all(blocks: &Blocks) {
    blocks.lock().unwrap().drain(..).for_each(free);
}

/// Committed bytes that the allocator does not count.
fn uncounted() -> isize {
    sys::committed_bytes() as isize - COMMITTED.bytes() as isize
}

/// A thread vanishes at a step, at the next one in the next round, and so on.
pub(crate) fn at_each_step(first: u64) {
    options::apply(b"helper:false,thp:never");
    warm_up();
    Strata::purge();
    let (mut vanished, mut large, mut lost) = (0, usage::large(), uncounted());
    for step in first..first + STEPS {
        let mut random = Random(step);
        let (held, given) = (Blocks::default(), Blocks::default());
        given.lock().unwrap().extend((0..100).map(|_| block(&mut random)));
        let [began, done] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        {
            let (held, given) = (held.clone(), given.clone());
            let (began, done) = (began.clone(), done.clone());
            thread::spawn(move || {
                sys::vanish_at(step);
                began.store(true, Ordering::Release);
                deeds(random, &held, &given);
                sys::vanish_at(0);
                done.store(true, Ordering::Release);
            });
        }
        while !began.load(Ordering::Acquire) {
            thread::yield_now();
        }
        while !sys::has_vanished() && !done.load(Ordering::Acquire) {
            thread::yield_now();
        }
        if sys::has_vanished() {
            vanished += 1;
            // SAFETY: the other thread stands still for ever.
            unsafe { init::after_fork_in_child() };
        }
        all_is_well(step);
        free_all(&held);
        free_all(&given);
        Strata::purge();
        // It may have had a block that nobody else knows of.
        let had = usage::large().checked_sub(large).expect("none was lost before");
        assert!(had == 0 || SIZES.iter().any(|size| had == size.next_multiple_of(UNIT)), "{had}");
        assert!(had == 0 || sys::has_vanished(), "{had}");
        assert_eq!(usage::dirty(), 0, "step {step}");
        let now = uncounted();
        assert!(now <= lost + SLACK, "step {step}: {lost} to {now} bytes are not counted");
        (large, lost) = (large + had, now);
    }
    assert!(vanished >= STEPS / 2, "{vanished} threads vanished");
}

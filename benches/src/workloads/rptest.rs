//! Threads that replace groups of blocks, small sizes more often than large
//! ones, and pass every fourth group to the next thread to free.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use super::block::Block;
use super::parts::{scaled, share, team};

const SMALLEST: usize = 16;
const LARGEST: usize = 8_000;
/// Blocks that a thread holds.
const HELD: usize = 4_000;
/// Maximum number of blocks waiting for another thread.
const UNREAD: usize = 2_000;
/// Blocks replaced at a time.
const GROUP: usize = 100;
/// One group in this many goes to the next thread.
const GIVEN: u64 = 4;
/// Groups of all threads together.
const GROUPS: u64 = 60_000;

/// Blocks to be freed by another thread.
type Letters = Mutex<Vec<Block>>;

fn fresh(rng: &mut Rng) -> Block {
    // The minimum of three draws: half of them are below a fifth of the range.
    let draw = rng.u32(..).min(rng.u32(..)).min(rng.u32(..));
    let size = SMALLEST + share(draw, LARGEST - SMALLEST + 1);
    let stamp = rng.u64(..);
    if stamp.is_multiple_of(8) { Block::zeroed(size, stamp) } else { Block::new(size, stamp) }
}

fn lock(letters: &Letters) -> MutexGuard<'_, Vec<Block>> {
    letters.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes a block on, or returns it if that thread's queue is full: a thread
/// that is not scheduled for a while must not determine the memory usage.
fn give(letters: &Letters, block: Block) -> Option<Block> {
    let mut letters = lock(letters);
    if letters.len() >= UNREAD {
        return Some(block);
    }
    letters.push(block);
    None
}

fn sum_of(blocks: impl IntoIterator<Item = Block>) -> u64 {
    blocks.into_iter().map(|block| block.sum()).fold(0, u64::wrapping_add)
}

fn member(own: &Letters, next: &Letters, groups: u64, seed: u64) -> u64 {
    let mut rng = Rng::with_seed(seed);
    let mut held: Vec<Block> = (0..HELD).map(|_| fresh(&mut rng)).collect();
    let mut sum = 0u64;
    for group in 0..groups {
        let start = share(rng.u32(..), HELD - GROUP);
        for slot in &mut held[start..start + GROUP] {
            let old = mem::replace(slot, fresh(&mut rng));
            let kept = if group % GIVEN == 0 { give(next, old) } else { Some(old) };
            sum = sum.wrapping_add(sum_of(kept));
        }
        if group % GIVEN == 1 {
            let letters = mem::take(&mut *lock(own));
            sum = sum.wrapping_add(sum_of(letters));
        }
    }
    sum.wrapping_add(sum_of(held))
}

/// This many threads in a ring.
pub(crate) fn run(threads: usize, scale: f64) -> u64 {
    let groups = scaled(GROUPS / threads as u64, scale);
    let desks: Vec<Letters> = (0..threads).map(|_| Letters::default()).collect();
    let sum = team(threads, |thread| {
        member(&desks[thread], &desks[(thread + 1) % threads], groups, 400 + thread as u64)
    });
    // Blocks that arrived after their reader had exited.
    let late = desks.into_iter().flat_map(|desk| mem::take(&mut *lock(&desk)));
    sum.wrapping_add(sum_of(late))
}

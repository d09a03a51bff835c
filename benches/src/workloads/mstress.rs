//! Short-lived threads that build trees of objects of very different sizes,
//! drop some, and swap some with other threads through a table. Objects that a
//! thread leaves in the table outlive it.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use fastrand::Rng;

use super::block::Block;
use super::parts::{scaled, share, team};

/// Slots for objects in transit between threads.
const TABLE: usize = 1_000;
/// Maximum number of objects that a thread keeps.
const KEPT: usize = 1_500;
/// Rounds of new threads.
const ROUNDS: u64 = 24;
/// Average steps of all threads together in a round.
const STEPS: u64 = 100_000;

/// A block and its children.
struct Object {
    block: Block,
    children: Vec<Object>,
}

impl Object {
    /// With children down to `depth` below it.
    fn new(rng: &mut Rng, depth: u32) -> Object {
        let (size, stamp) = (size(rng), rng.u64(..));
        let block = match stamp % 4 {
            0 => Block::zeroed(size, stamp),
            _ => Block::filled(size, stamp),
        };
        let count = if depth == 0 { 0 } else { rng.u32(..4) };
        let mut children = Vec::new();
        for _ in 0..count {
            children.push(Object::new(rng, depth - 1));
        }
        Object { block, children }
    }

    fn sum(&self) -> u64 {
        let own = match self.block.stamp() % 4 {
            0 => self.block.sum(),
            _ => self.block.sum_all(),
        };
        self.children.iter().map(Object::sum).fold(own, u64::wrapping_add)
    }
}

/// Mostly up to 272 bytes, one in 64 up to 8 KiB, one in 2,048 up to 512 KiB.
fn size(rng: &mut Rng) -> usize {
    let (rarity, random) = (rng.u32(..2048), rng.u32(..));
    match rarity {
        0 => (64 << 10) + share(random, 448 << 10),
        1..=32 => 272 + share(random, 8 << 10),
        _ => 16 + share(random, 257),
    }
}

struct Table(Vec<AtomicPtr<Object>>);

impl Table {
    /// Stores an object and takes the previous one.
    fn swap(&self, slot: usize, object: Option<Box<Object>>) -> Option<Box<Object>> {
        let object = object.map_or(ptr::null_mut(), Box::into_raw);
        let old = self.0[slot].swap(object, Ordering::AcqRel);
        // SAFETY: everything in the table came from `into_raw`, and the swap
        // made this thread its only owner.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }
}

/// A thread's life: its steps, then it passes on half of its remaining objects.
///
/// Its random numbers do not depend on what it gets from others, so all threads
/// together always create the same objects.
fn live(table: &Table, steps: u64, rng: &mut Rng) -> u64 {
    let mut kept: Vec<Box<Object>> = Vec::new();
    let mut sum = 0u64;
    let mut drop_one = |object: Box<Object>| sum = sum.wrapping_add(object.sum());
    for _ in 0..steps {
        let (kind, place, slot) = (rng.u32(..100), rng.u32(..), rng.u32(..));
        if kind < 45 {
            kept.push(Box::new(Object::new(rng, 2)));
            if kept.len() > KEPT {
                drop_one(kept.swap_remove(share(place, KEPT)));
            }
        } else if !kept.is_empty() {
            let object = kept.swap_remove(share(place, kept.len()));
            if kind < 80 {
                drop_one(object);
            } else {
                kept.extend(table.swap(share(slot, TABLE), Some(object)));
            }
        }
    }
    for (n, object) in kept.into_iter().enumerate() {
        let slot = share(rng.u32(..), TABLE);
        let leaves = if n % 2 == 0 { table.swap(slot, Some(object)) } else { Some(object) };
        leaves.into_iter().for_each(&mut drop_one);
    }
    sum
}

/// Rounds of this many threads at once.
pub(crate) fn run(threads: usize, scale: f64) -> u64 {
    let table = Table((0..TABLE).map(|_| AtomicPtr::default()).collect());
    let mut sum = 0u64;
    for round in 0..ROUNDS {
        let lives = team(threads, |thread| {
            let mut rng = Rng::with_seed(300 + round * threads as u64 + thread as u64);
            // Between half of the average and one and a half times it.
            let share_of = STEPS as f64 / threads as f64 * (0.5 + rng.f64());
            live(&table, scaled(share_of as u64, scale), &mut rng)
        });
        sum = sum.wrapping_add(lives);
    }
    let left = (0..TABLE).filter_map(|slot| table.swap(slot, None));
    left.map(|object| object.sum()).fold(sum, u64::wrapping_add)
}

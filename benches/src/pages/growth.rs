//! One block that grows by `realloc`. An operation is all of its growth, from
//! its first size until it is freed.

use super::run::{Run, Values};
use super::sizes::TENTH;
use super::stopwatch::time;
use crate::workloads::block::Block;

const LARGEST: usize = 256 << 20;

/// A block of `from` bytes that gets each next size until it has `to`.
fn grow(from: usize, to: usize, next: impl Fn(usize) -> usize) {
    let (mut size, mut block) = (from, Block::new(from, 1));
    while size < to {
        size = next(size).min(to);
        block = block.grown(size);
    }
}

/// Doubles up to 4 MiB.
pub(super) fn doubles_to_4m(run: &Run) -> Values {
    time(run, 1000, || grow(1 << 10, 4 << 20, |size| 2 * size))
}

/// Doubles up to the largest size.
pub(super) fn doubles_to_256m(run: &Run) -> Values {
    time(run, 8, || grow(1 << 10, LARGEST, |size| 2 * size))
}

/// Grows by equal steps.
pub(super) fn steps_to_256m(run: &Run) -> Values {
    time(run, 4, || grow(11 * TENTH, LARGEST, |size| size + 11 * TENTH))
}

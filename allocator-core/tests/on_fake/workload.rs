//! What is run on the fake: a workload of every kind of request, and how much may stay
//! mapped after it.

use crate::common::model::{self, Deed, Program, Step};
use crate::common::{Block, Random};
use crate::strata::Strata;
use crate::sys::{self, Call};

pub(crate) const ALLOC: Strata = Strata::new();

/// The calls that may fail without a lasting effect: nothing is taken or changed.
pub(crate) const TRACELESS: [Call; 10] = [
    Call::Reserve,
    Call::Commit,
    Call::MapAt,
    Call::ReserveAt,
    Call::Purge,
    Call::Protect,
    Call::Resize,
    Call::MoveTo,
    Call::ArmThreadExit,
    Call::ReadFile,
];

/// A workload of several threads with every kind of request, which frees everything.
/// Every request may be refused.
pub(crate) fn workload(seed: u64) -> model::Outcome {
    let mut random = Random(seed | 1);
    let program: Program = (0..2)
        .map(|_| {
            (0..250)
                .map(|_| Step {
                    deed: match random.below(10) {
                        0..=3 => Deed::Alloc,
                        4 => Deed::AllocZeroed,
                        5..=6 => Deed::Realloc,
                        7..=8 => Deed::Free,
                        _ => Deed::Extra,
                    },
                    place: random.below(60),
                    size: if random.below(8) == 0 { random.size(21) } else { random.size(13) },
                    align: 1 << if random.below(10) == 0 { random.below(23) } else { 3 },
                })
                .collect()
        })
        .collect();
    model::run(&ALLOC, 60, &program, |size| {
        if size % 2 == 0 {
            Strata::purge();
        }
    })
}

/// Mapped bytes after a purge.
pub(crate) fn at_rest() -> usize {
    Strata::purge();
    sys::mapped_bytes()
}

/// Without failures, every request is served.
pub(crate) fn all_is_well(seed: u64) {
    sys::clear_failures();
    let outcome = workload(seed);
    assert_eq!(outcome.refused, 0, "after the failures");
    let size = 40 << 20;
    let block = Block::new(&ALLOC, size, 8).expect("one large block");
    block.free(&ALLOC);
}

/// Warms up until the tables and the metadata have what the workload takes.
pub(crate) fn warm_up() {
    for seed in 1..40 {
        all_is_well(seed);
    }
}

/// Mapped bytes may still grow by a segment of metadata, and by a chunk or two that
/// blocks in magazines keep.
pub(crate) const SLACK: usize = 5 << 20;

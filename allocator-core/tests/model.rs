//! Random programs of several threads, which check every byte of their blocks.

mod common;

use allocator_core::Strata;
use common::model::{self, Deed, Program, Step};
use proptest::prelude::*;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Sizes from 1 byte to 4 MiB, small ones as likely as large ones.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => (0u32..15, any::<usize>()).prop_map(|(log, r)| (1 << log) + r % (1 << log)),
        2 => (15u32..20, any::<usize>()).prop_map(|(log, r)| (1 << log) + r % (1 << log)),
        1 => (20u32..22, any::<usize>()).prop_map(|(log, r)| (1 << log) + r % (1 << log)),
    ]
}

fn aligns() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => Just(8usize),
        2 => (0u32..8).prop_map(|log| 1 << log),
        1 => (8u32..22).prop_map(|log| 1 << log),
    ]
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => Just(Deed::Alloc),
        2 => Just(Deed::AllocZeroed),
        3 => Just(Deed::Realloc),
        4 => Just(Deed::Free),
        1 => Just(Deed::Extra),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (deeds(), any::<usize>(), sizes(), aligns())
        .prop_map(|(deed, place, size, align)| Step { deed, place, size, align });
    prop::collection::vec(step, 1..250)
}

fn programs() -> impl Strategy<Value = Program> {
    prop::collection::vec(steps(), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 250,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_byte_is_kept(program in programs(), places in 1usize..80) {
        let outcome = model::run(&GLOBAL, places, &program, |size| {
            if size % 4 == 0 {
                Strata::purge();
            }
        });
        prop_assert_eq!(outcome.refused, 0);
    }
}

/// One program with far more steps, and fewer kinds of layouts.
#[test]
fn a_long_random_program() {
    let threads = 4;
    let steps = 150_000;
    let mut random = common::Random(0x5eed);
    let program: Program = (0..threads)
        .map(|_| {
            (0..steps)
                .map(|_| Step {
                    deed: match random.below(100) {
                        0..=44 => Deed::Alloc,
                        45..=54 => Deed::AllocZeroed,
                        55..=69 => Deed::Realloc,
                        70..=98 => Deed::Free,
                        _ => Deed::Extra,
                    },
                    place: random.below(5000),
                    size: if random.below(200) == 0 { random.size(20) } else { random.size(12) },
                    align: 1 << if random.below(10) == 0 { random.below(13) } else { 3 },
                })
                .collect()
        })
        .collect();
    let outcome = model::run(&GLOBAL, 5000, &program, |size| {
        if size % 16 == 0 {
            Strata::purge();
        }
    });
    assert_eq!(outcome.refused, 0);
    println!("{outcome:?}");
}

//! The list of twins, and of those that cannot fail.

use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use crate::twin::Weakness;

/// A twin, and the model that must fail with it.
#[derive(Clone, Copy, Debug)]
pub struct Twin {
    /// The label.
    pub label: &'static str,
    /// What is done to it.
    pub weakness: Weakness,
    /// The model that fails.
    pub model: &'static str,
}

/// A twin that cannot fail, and why.
#[derive(Clone, Copy, Debug)]
pub struct Equivalent {
    /// The label.
    pub label: &'static str,
    /// The weaker ordering.
    pub weaker: Ordering,
    /// Why nobody can tell.
    pub proof: &'static str,
}

const fn order(label: &'static str, order: Ordering, model: &'static str) -> Twin {
    Twin { label, weakness: Weakness::Order(order), model }
}

const fn step(label: &'static str, model: &'static str) -> Twin {
    Twin { label, weakness: Weakness::Step, model }
}

/// All twins that `cargo loom` tries.
pub const TWINS: &[Twin] = &[
    order("lock_take", Relaxed, "lock"),
    order("lock_free", Relaxed, "lock"),
    step("lock_wakes", "lock"),
    order("inbox_post", Relaxed, "inbox_take"),
    order("inbox_take", Relaxed, "inbox_take"),
    order("inbox_close", Relaxed, "inbox_close"),
    order("inbox_close", Acquire, "inbox_close"),
    order("inbox_close", Release, "inbox_close"),
    order("inbox_refused", Relaxed, "inbox_close"),
];

/// Twins that cannot fail.
pub const EQUIVALENT: &[Equivalent] = &[];

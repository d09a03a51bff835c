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
    order("init_done", Relaxed, "init"),
    order("init_seen", Relaxed, "init"),
    order("table_publish", Relaxed, "table"),
    order("table_read", Relaxed, "table"),
    order("inbox_post", Relaxed, "inbox_take"),
    order("inbox_take", Relaxed, "inbox_take"),
    order("inbox_close", Relaxed, "inbox_close"),
    order("inbox_close", Acquire, "inbox_close"),
    order("inbox_close", Release, "inbox_close"),
    order("inbox_refused", Relaxed, "inbox_close"),
    order("home_move", Relaxed, "moving"),
    order("home_check", Relaxed, "moving"),
    step("put_checks_home", "moving"),
    step("rehome_publishes", "moving"),
    step("hollow_in_hand", "hollowing"),
    step("hollow_checks_home", "hollowing_leaving"),
    step("leave_looks_again", "hollowing_leaving"),
    order("granules_claim", Relaxed, "granules"),
    order("granules_free", Relaxed, "granules"),
    step("granules_dirty", "granules"),
    order("chunk_claim", Relaxed, "release"),
    order("room_mark", Relaxed, "rooms"),
    order("room_check", Relaxed, "rooms"),
    order("room_check_read", Relaxed, "rooms_find"),
    // The same, where they are part of something larger.
    order("lock_take", Relaxed, "stealing"),
    order("home_move", Relaxed, "stealing"),
    order("home_move", Relaxed, "lending"),
    order("inbox_post", Relaxed, "leaving"),
    order("inbox_close", Relaxed, "leaving"),
    order("inbox_take", Relaxed, "relieving"),
    order("granules_claim", Relaxed, "empties"),
    order("granules_free", Relaxed, "empties"),
    order("granules_free", Relaxed, "release"),
];

/// Twins that cannot fail. There are none: an ordering that nobody needs is
/// written `Relaxed` in the first place.
pub const EQUIVALENT: &[Equivalent] = &[];

//! The list of twins. Each must fail: an ordering that nobody needs is written
//! `Relaxed` in the first place.

use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use crate::active_twin::Weakness;

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

const fn order(label: &'static str, order: Ordering, model: &'static str) -> Twin {
    Twin { label, weakness: Weakness::Order(order), model }
}

const fn step(label: &'static str, model: &'static str) -> Twin {
    Twin { label, weakness: Weakness::Step, model }
}

/// All twins that `cargo loom` tries.
pub const TWINS: &[Twin] = &[
    order("lock_acquire", Relaxed, "lock"),
    order("lock_release", Relaxed, "lock"),
    step("lock_wakes", "lock"),
    step("lock_knows_holder", "lock"),
    step("lock_nested_gives_up", "handlers"),
    order("init_done", Relaxed, "init"),
    order("init_seen", Relaxed, "init"),
    order("tail_set", Relaxed, "tail"),
    order("tail_take", Relaxed, "tail"),
    order("tail_free", Acquire, "tail"),
    order("tail_free", Release, "tail"),
    order("tail_free", Relaxed, "tail"),
    order("tail_begin_purge", Relaxed, "tail"),
    order("tail_end_purge", Relaxed, "tail"),
    order("tail_freed", Relaxed, "tail"),
    order("standby_put", Acquire, "standby"),
    order("standby_put", Release, "standby"),
    order("standby_put", Relaxed, "standby"),
    order("standby_take", Relaxed, "standby"),
    order("later_keep", Relaxed, "later"),
    order("later_take", Relaxed, "later"),
    order("published_set", Relaxed, "published"),
    order("published_get", Relaxed, "published"),
    order("profile_slot_claim", Relaxed, "samples"),
    order("profile_slot_free", Relaxed, "samples"),
    order("remote_push", Relaxed, "remote_take_all"),
    order("remote_take_all", Relaxed, "remote_take_all"),
    order("remote_close", Relaxed, "remote_close"),
    order("remote_close", Acquire, "remote_close"),
    order("remote_close", Release, "remote_close"),
    order("remote_refused", Relaxed, "remote_close"),
    order("span_heap_set", Relaxed, "moving"),
    order("span_heap_check", Relaxed, "moving"),
    step("put_checks_heap", "moving"),
    step("set_heap_publishes", "moving"),
    step("purge_detaches", "span_purge"),
    step("purge_checks_heap", "span_purge_abandoning"),
    step("evict_checks_heap", "evicting_stolen"),
    step("abandon_looks_again", "span_purge_abandoning"),
    order("granules_claim", Relaxed, "granules"),
    order("granules_return", Relaxed, "granules"),
    step("granules_dirty", "granules"),
    order("chunk_claim", Relaxed, "release"),
    order("index_mark", Relaxed, "index_claim"),
    order("index_clear", Relaxed, "index_claim"),
    order("index_read", Relaxed, "index_find"),
    // The same, where they are part of something larger.
    order("lock_acquire", Relaxed, "stealing"),
    order("span_heap_set", Relaxed, "stealing"),
    order("span_heap_set", Relaxed, "transfer"),
    order("remote_push", Relaxed, "abandoning"),
    order("remote_close", Relaxed, "abandoning"),
    order("remote_take_all", Relaxed, "draining"),
    order("granules_claim", Relaxed, "empties"),
    order("granules_return", Relaxed, "empties"),
    order("granules_return", Relaxed, "release"),
];

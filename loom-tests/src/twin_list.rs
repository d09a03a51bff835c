//! The list of twins. Each must fail: an ordering that nobody needs is written
//! `Relaxed` in the first place.

use core::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use crate::active_twin::Weakness;

/// A twin, and the model that must fail with it.
#[derive(Clone, Copy, Debug)]
pub struct Twin {
    /// The label.
    pub label: &'static str,
    /// The function of the one site that is weaker, and which of its uses of the label that
    /// is; `None`: at all sites of the label.
    pub at: Option<(&'static str, usize)>,
    /// What is done to it.
    pub weakness: Weakness,
    /// The model that fails.
    pub model: &'static str,
}

impl Twin {
    /// The words that name it for [`run_named`](crate::run_named).
    #[must_use]
    pub fn words(&self) -> [String; 3] {
        let place = self.at.map_or(String::new(), |(function, nth)| format!("@{function}#{nth}"));
        let change = match self.weakness {
            Weakness::Order(order) => format!("{order:?}"),
            Weakness::Step => "step".into(),
            Weakness::Deleted => "deleted".into(),
        };
        [self.model.into(), format!("{}{place}", self.label), change]
    }
}

const fn order(label: &'static str, order: Ordering, model: &'static str) -> Twin {
    Twin { label, at: None, weakness: Weakness::Order(order), model }
}

/// A weaker ordering at one site of a label that has several.
const fn at(
    label: &'static str,
    function: &'static str,
    nth: usize,
    order: Ordering,
    model: &'static str,
) -> Twin {
    Twin { label, at: Some((function, nth)), weakness: Weakness::Order(order), model }
}

const fn step(label: &'static str, model: &'static str) -> Twin {
    Twin { label, at: None, weakness: Weakness::Step, model }
}

/// All twins that `cargo loom` tries.
pub const TWINS: &[Twin] = &[
    order("lock_release", Relaxed, "lock"),
    step("lock_wakes", "lock"),
    step("lock_knows_holder", "lock"),
    step("lock_nested_gives_up", "handlers"),
    order("init_done", Relaxed, "init"),
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
    order("later_keep", Relaxed, "later"),
    order("later_take", Relaxed, "later"),
    order("profile_slot_claim", Relaxed, "samples"),
    order("profile_slot_free", Relaxed, "samples"),
    order("remote_push", Relaxed, "remote_take_all"),
    order("remote_take_all", Relaxed, "remote_take_all"),
    order("remote_close", Relaxed, "remote_close"),
    order("remote_close", Acquire, "remote_close"),
    order("remote_close", Release, "remote_close"),
    order("span_heap_set", Relaxed, "moving"),
    order("span_heap_check", Relaxed, "moving"),
    step("put_checks_heap", "moving"),
    step("set_heap_publishes", "moving"),
    step("purge_detaches", "span_purge"),
    step("purge_checks_heap", "span_purge_abandoning"),
    step("evict_checks_heap", "evicting_stolen"),
    step("abandon_looks_again", "span_purge_abandoning"),
    step("granules_dirty", "granules"),
    order("chunk_claim", Relaxed, "release"),
    step("refusal_gives_back", "purge_limit"),
    step("purge_waits", "purge_limit"),
    step("ended_is_withdrawn", "registry"),
    step("helper_did_not_begin", "helper"),
    order("over_set", Relaxed, "limit"),
    order("over_check", Relaxed, "limit"),
    order("over_set", Relaxed, "limit_enforced"),
    step("limit_looks_again", "limit_enforced"),
    order("committed_told", Relaxed, "limit_told"),
    order("committed_discharge", Relaxed, "limit_told"),
    // At one site of several.
    at("lock_acquire", "lock::try_lock", 1, Relaxed, "lock"),
    at("lock_acquire", "lock::lock_slow", 1, Relaxed, "lock"),
    at("init_seen", "once::is_done", 1, Relaxed, "init"),
    at("init_seen", "once::run", 1, Relaxed, "init"),
    at("init_seen", "once::run", 2, Relaxed, "init"),
    at("published_set", "published::publish", 1, Relaxed, "published"),
    at("published_set", "published::publish", 2, Relaxed, "published_count"),
    at("published_get", "published::get", 1, Relaxed, "published"),
    at("published_get", "published::get", 2, Relaxed, "published_count"),
    at("remote_refused", "remote_queue::push", 1, Relaxed, "remote_close"),
    at("remote_refused", "remote_queue::push", 2, Relaxed, "remote_close"),
    at("granules_claim", "granules::claim", 1, Relaxed, "granules"),
    at("granules_claim", "granules::claim_these", 1, Relaxed, "granules"),
    at("granules_return", "granules::give_back", 1, Relaxed, "granules"),
    at("granules_return", "granules::reset_free", 1, Relaxed, "release"),
    at("index_mark", "free_space_index::mark_length", 1, Relaxed, "index_claim"),
    at("index_mark", "free_space_index::mark_length", 2, Relaxed, "index_claim"),
    at("index_clear", "free_space_index::clear", 1, Relaxed, "index_claim"),
    at("index_clear", "free_space_index::clear_top", 1, Relaxed, "index_claim"),
    at("index_read", "free_space_index::find", 2, Relaxed, "index_find_in_word"),
    at("tail_set", "tail::set", 1, Relaxed, "tail"),
    at("tail_set", "tail::set_again", 1, Relaxed, "tail"),
    at("standby_take", "standby::take", 1, Relaxed, "standby"),
    at("standby_take", "standby::take_any", 1, Relaxed, "standby_any"),
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
    order("granules_claim", Relaxed, "purge"),
    order("granules_return", Relaxed, "purge"),
    order("chunk_claim", Relaxed, "purge_chunk"),
    order("lock_acquire", Relaxed, "registry"),
    order("lock_release", Relaxed, "registry_purge"),
    order("published_set", Relaxed, "registry"),
];

/// A label, a function and which of its uses that is, the weaker ordering, and the reason.
pub type Equivalent = (&'static str, &'static str, usize, Ordering, &'static str);

/// Weaker orderings that no model can tell from those that ship, each with the reason.
pub const EQUIVALENT: &[Equivalent] = &[(
    "index_read",
    "free_space_index::find",
    1,
    Relaxed,
    "the word may then be read as it was before; `clear_top` looks again, and marks it again",
)];

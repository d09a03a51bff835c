//! What the allocator says about itself: statistics, and what memory is held for.

mod lines;
pub(crate) mod stats;
mod residency;
pub(crate) mod explain;
pub(crate) mod metrics;
pub(crate) mod heap_profile;
pub(crate) mod profile_text;
mod largest_stacks;
mod failure_text;
mod note;
mod on_signal;

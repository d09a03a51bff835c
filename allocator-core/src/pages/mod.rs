//! Where memory comes from, and how much of it the process may have: chunks of addresses, page
//! runs, huge blocks and metadata, with their limits and counters.

pub(crate) mod metadata;
pub(crate) mod thp;
pub(crate) mod free_space_index;
pub(crate) mod tables;
pub(crate) mod counters;
pub(crate) mod committed;
mod chunk_bits;
mod chunk_metadata;
pub(crate) mod address_space;
mod control_group;
pub(crate) mod cgroup;
pub(crate) mod helped;
pub(crate) mod usage;
pub(crate) mod freed_huge;
pub(crate) mod page_runs;
pub(crate) mod orphaned_runs;
pub(crate) mod arena;
pub(crate) mod huge_block;
pub(crate) mod held_back;
pub(crate) mod interrupted;
pub(crate) mod empty_blocks;

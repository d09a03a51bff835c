//! Pages: where chunks, granules, page runs and huge blocks come from, and what the process may have of them.

pub(crate) mod metadata;
pub(crate) mod thp;
pub(crate) mod address_space;
pub(crate) mod committed;
pub(crate) mod cgroup;
pub(crate) mod usage;
pub(crate) mod free_space_index;
pub(crate) mod page_runs;
pub(crate) mod arena;
pub(crate) mod huge_block;

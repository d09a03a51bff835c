//! Pages: where chunks, granules, page runs and huge blocks come from, and what the process may have of them.

pub(crate) mod pool;
pub(crate) mod thp;
pub(crate) mod space;
pub(crate) mod committed;
pub(crate) mod cgroup;
pub(crate) mod usage;
pub(crate) mod rooms;
pub(crate) mod medium;
pub(crate) mod arena;
pub(crate) mod huge;

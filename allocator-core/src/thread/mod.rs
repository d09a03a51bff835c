//! What belongs to one thread: its magazines, its budget, and the cache that holds them.

pub(crate) mod bin;
pub(crate) mod cache_tail;
pub(crate) mod remote_cache;
pub(crate) mod lease_trial;
pub(crate) mod budget;
pub(crate) mod internal_fragmentation;
pub(crate) mod flow;
pub(crate) mod cache;
pub(crate) mod flush;
pub(crate) mod magazine_size;
pub(crate) mod flush_all;
pub(crate) mod receive;
pub(crate) mod refill;
pub(crate) mod free_slow;
pub(crate) mod tls;
pub(crate) mod registry;

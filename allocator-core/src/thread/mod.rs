//! What belongs to one thread: the cache with its magazines, and the slow paths that fill, flush
//! and size them.

mod bin;
mod cache_tail;
pub(crate) mod remote_cache;
mod lease_trial;
mod budget;
pub(crate) mod internal_fragmentation;
mod flow;
mod doubt;
pub(crate) mod cache;
mod vanished;
mod flush;
mod magazine_size;
mod aging;
mod flush_all;
mod receive;
mod refill;
mod free_slow;
pub(crate) mod tls;
pub(crate) mod scope;
mod current;
pub(crate) mod profiled;
pub(crate) mod slow_path;
pub(crate) mod inside;
pub(crate) mod registry;
pub(crate) mod switch;
pub(crate) mod stock;

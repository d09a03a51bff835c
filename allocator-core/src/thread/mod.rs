//! What belongs to one thread: its magazines, its budget, and the cache that holds them.

pub(crate) mod bin;
pub(crate) mod nook;
pub(crate) mod outbox;
pub(crate) mod trial;
pub(crate) mod budget;
pub(crate) mod rounding;
pub(crate) mod cache;
pub(crate) mod tls;
pub(crate) mod threads;

//! Strata: a memory allocator for multithreaded servers.
//!
//! ```
//! use allocator_core::Strata;
//!
//! #[global_allocator]
//! static GLOBAL: Strata = Strata::new();
//!
//! let words = vec!["a", "b"];
//! assert!(Strata::stats().live_bytes() > 0);
//! # drop(words);
//! ```
//!
//! The order of the modules below is the order of the layers: a file uses only
//! what stands above it. `docs/` tells the whole story.

#![no_std]

use allocator_sys as sys;

mod sync;

mod order;

mod class;

mod fatal;

mod lock;

mod once;

mod table;

mod inbox;

mod granules;

mod span;

mod map;

mod home;

mod homes;

mod pool;

mod thp;

mod space;

mod committed;

mod cgroup;

mod usage;

mod rooms;

mod medium;

mod arena;

mod huge;

mod purge;

mod limit;

mod mail;

mod moves;

mod holes;

mod dense;

mod supply;

mod bin;

mod nook;
mod outbox;

mod trial;

mod budget;

mod cache;

mod tls;

mod threads;

mod helper;

mod conf;

mod config;

mod init;

mod rounding;

mod alloc;

mod free;

mod realloc;

pub mod bare;

mod stats;

mod residency;

mod explain;

mod strata;

pub use config::{Config, Thp, When};
pub use explain::{Cause, Explanation, OfClass};
pub use stats::{ClassStats, Stats};
pub use strata::Strata;

//! The heap of Strata, a memory allocator for multithreaded servers on Linux.
//!
//! Rust programs depend on the crate `strata-alloc`, which exports the types of this
//! one and describes how to use them.
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
//! The order of the modules in the source is the order of the layers: a module
//! uses only modules that are declared before it.

#![no_std]
#![deny(missing_docs)]

use allocator_sys as sys;

mod base;
mod spans;
mod heaps;
mod pages;
mod reclaim;
mod remote;
mod thread;
mod background;
mod process;

mod alloc;
mod free;
mod realloc;

mod report;

pub mod internals;

mod strata;

pub use process::config::{Config, Thp, When};
pub use report::explain::{Cause, ClassShare, Explanation};
pub use report::stats::{ClassStats, Stats};
pub use strata::Strata;

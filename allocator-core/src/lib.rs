//! The core of Strata, a memory allocator for multithreaded servers on Linux.
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

// Atomics, orderings, bits, constants, size classes, locks, misuse.
mod base;
// Granules, spans, and the page map.
mod spans;
// Heaps, their remote queues, and the table of heaps.
mod heaps;
// Metadata, addresses, page runs, arenas, huge blocks; limits and counters.
mod pages;
// Purging free pages, and the soft limit.
mod reclaim;
// Sending remote frees, drawing blocks from heaps, moving spans between heaps, finding a span.
mod remote;
// The sampled heap profile: stacks, samples, weights.
mod profile;
// Guarded sampling: blocks that stand alone between pages without access.
mod guarded;
// The thread cache, its magazines, its slow paths, and the registry of threads.
mod thread;
// The helper thread, and its searches.
mod background;
// Options, configuration, initialization.
mod process;

// The paths of allocation, free and reallocation.
mod alloc;
mod free;
#[cfg_attr(
    any(feature = "system", feature = "hardened"),
    expect(dead_code, reason = "another is used instead")
)]
mod realloc;

// The same paths in hardened mode.
mod hardened;

// The same paths through the C library.
#[cfg(feature = "system")]
mod system;

// Scopes: who a thread allocates for.
mod scope;

// Statistics, residency, and their explanation.
mod report;

// For the C library. Not part of the API: it may change in any version.
#[doc(hidden)]
pub mod c_internals;

// For readers outside of the process. Not part of the API: it may change in any version.
#[doc(hidden)]
pub use base::directory;

// The public type: `GlobalAlloc`, and the functions of `Strata`.
mod strata;

pub use allocator_sys::Registers;
pub use pages::cgroup::Supply;
pub use process::config::{Config, Signal, Thp, When};
pub use profile::amounts::Amount;
pub use profile::capture::{StackWords, Unwinder};
pub use reclaim::failure::Failure;
pub use reclaim::limit::Exceeded;
pub use report::explain::{Cause, ClassShare, Explanation};
pub use report::heap_profile::ProfiledStack;
pub use report::metrics::Metrics;
pub use report::metrics::{Number, Unit};
pub use report::stats::{ClassStats, Stats};
pub use scope::{Entered, Scope, Scoped};
pub use strata::Strata;

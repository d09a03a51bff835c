//! Strata is a global allocator for multithreaded servers on Linux.
//!
//! ```
//! use strata_alloc::Strata;
//!
//! #[global_allocator]
//! static GLOBAL: Strata = Strata::new();
//!
//! fn main() {
//!     let words = vec!["a", "b"];
//!     assert!(Strata::stats().live_bytes() > 0);
//! #   drop(words);
//! }
//! ```
//!
//! # Why
//!
//! - **Fast paths without locks.** An allocation pops from an array that belongs to
//!   the thread, a free pushes to it. Both can be inlined into the caller.
//! - **Blocks return to their owner.** A block that another thread frees is sent back
//!   in a batch to the thread that allocates from its memory, so that memory does not
//!   pile up between producers and consumers.
//! - **Memory returns to the system.** Free pages above max(4 MiB, 1/8 of the live
//!   memory) are returned within one second, also when the program is idle, also from
//!   between live blocks. A parked thread keeps at most 64 KiB.
//! - **Memory use can be explained.** [`Strata::explain`] breaks the resident memory of
//!   the process down to the byte and names the largest cause of what is not live.
//! - **Misuse is reported.** A double free, a pointer into the middle of a block or a
//!   wrong layout ends the process with one line that names the pointer. This finds
//!   mistakes; it is not a defence against an attacker.
//!
//! Use it for long-running processes with many threads, blocks that are allocated in
//! one thread and freed in another, and load that varies. A program that runs for a
//! second in one thread gains nothing.
//!
//! C and C++ libraries in the program keep their own `malloc`. The package
//! `allocator-capi` builds Strata as a C library, which serves a whole process by
//! `LD_PRELOAD` or by linking.
//!
//! # Link-time optimization
//!
//! Turn it on:
//!
//! ```toml
//! [profile.release]
//! lto = "thin"
//! ```
//!
//! Without it, only the crate that contains the `static` has the fast paths inlined.
//! All other crates, the standard library among them, call them.
//!
//! # Options
//!
//! Options are set in the source with [`Config`], and in the environment variable
//! `STRATA_CONF` under the same names. The environment overrides the source, option
//! by option.
//!
//! ```
//! use strata_alloc::{Config, Strata};
//!
//! #[global_allocator]
//! static GLOBAL: Strata = Strata::with_config(Config::new().limit(512 << 20));
//! # drop(vec![1, 2, 3]);
//! ```
//!
//! ```text
//! STRATA_CONF=limit:256m,explain:exit ./program
//! ```
//!
//! | Option | Values in `STRATA_CONF`, default first | Meaning |
//! |---|---|---|
//! | [`explain`](Config::explain) | `never`, `exit` | print [`Strata::explain`] when the process exits |
//! | [`guarded`](Config::guarded) | `none`, bytes | of so many bytes, one block stands alone: its misuse is reported |
//! | [`hard_limit`](Config::hard_limit) | `none`, bytes | allocations return null rather than commit more |
//! | [`help`](Config::help) | `false`, `true` | list the options at the start |
//! | [`helper`](Config::helper) | `true`, `false` | a background thread may return memory to the system |
//! | [`huge_guards`](Config::huge_guards) | `false`, `true` | an access beyond the end of a block above 1 MiB faults |
//! | [`limit`](Config::limit) | `none`, bytes | above it, free memory is returned, and [`Strata::on_limit`] calls |
//! | [`log_file`](Config::log_file) | `none`, a path | reports go to this file, too |
//! | [`profile_file`](Config::profile_file) | `none`, a path | where the heap profile goes on the signal |
//! | [`signal`](Config::signal) | `none`, `HUP`, `QUIT`, `USR1`, `USR2`, `WINCH` | print [`Strata::explain`] on this signal |
//! | [`stats`](Config::stats) | `never`, `exit` | print [`Strata::stats`] when the process exits |
//! | [`thp`](Config::thp) | `auto`, `never`, `always` | which memory uses transparent huge pages |
//! | [`verbose`](Config::verbose) | `false`, `true` | say at the start which options are in force |
//!
//! Bytes are written as `1000`, `64k`, `512MiB` or `2g`, in powers of 1024, or as a part of the
//! container's memory limit: `80%`.
//!
//! # Tools
//!
//! valgrind, heaptrack and sanitizers know the system's allocator, not this one. With
//! the feature `system`, every request goes to it.
//!
//! # At run time
//!
//! - [`Strata::stats`]: live, cached, committed and free bytes, and counts for each
//!   size class; without a lock and without an allocation.
//! - [`Strata::explain`]: what the resident memory is used for.
//! - [`Strata::metrics`]: all of that as JSON, or as a page for Prometheus.
//! - [`Strata::purge`]: return all free memory to the system now.
//! - [`Strata::thread_idle`]: the calling thread is about to sleep; put its cache away.
//! - [`Strata::set_limit`], [`Strata::set_hard_limit`], [`Strata::on_limit`]: limits.
//! - [`Strata::on_pressure`]: be told when memory is short in the container.
//!
//! # Heap profiles
//!
//! Which functions allocated what is in use, in a running program, without a special build:
//!
//! ```
//! # #[cfg(feature = "profile")] {
//! use strata_alloc::{Strata, profile};
//!
//! profile::start(Strata::PROFILE_BYTES);
//! // …
//! let snapshot = profile::Snapshot::take();
//! let (file, page) = (snapshot.pprof(), snapshot.flame_graph());
//! profile::stop();
//! # drop((file, page));
//! # }
//! ```
//!
//! # Scopes
//!
//! Who that memory is allocated for, such as a tenant: what is sampled in a [`scope!`] is counted there,
//! over await points, and until it is freed, in whichever thread.
//!
//! ```
//! # async fn handle(tenant: u32) {}
//! # fn serve(tenant: u32) -> impl Future<Output = ()> {
//! strata_alloc::scope!("tenant", tenant, async move {
//!     handle(tenant).await
//! })
//! # }
//! # drop(serve(42));
//! ```
//!
//! # Features
//!
//! | Feature | What it adds |
//! |---|---|
//! | `profile`, by default | files and pages of the heap profile |
//! | `http` | a page, heap profiles, the explanation and a purge over HTTP, for axum and others |
//! | `tokio` | runtimes whose idle threads keep no memory, and a task that watches |
//! | `serde` | all numbers as data that can be serialized |
//! | `metrics` | all numbers for the crate `metrics` |
//! | `prometheus-client` | a collector of all numbers for the crate `prometheus-client` |
//! | `opentelemetry` | all numbers as instruments of OpenTelemetry |
//! | `hardened` | every block is checked |
//! | `system` | the system's allocator serves, for tools |
//!
//! Without the default feature `profile` this crate has no dependency on the standard library;
//! [`Strata::profile`] gives the numbers.
//!
//! The child of a `fork` can allocate, free and start threads, whatever the other
//! threads of the parent were doing.
//!
//! # Limits
//!
//! | | |
//! |---|---|
//! | Platforms | Linux, on x86-64 with glibc. The source supports AArch64 and musl, too, but neither is tested. |
//! | Page size | 4 KiB is tested; 16 and 64 KiB are tested with a simulated system only |
//! | Alignment | up to 1 GiB; beyond that, allocations return null |
//! | Heap | one range of addresses of 1 TiB, less under `ulimit -v` |
//! | Threads | 32 thousand at a time have a cache; more work without one, slower |
//! | Size classes | 75, up to 32 KiB; rounding wastes at most 1/8 above 128 bytes |
//! | Larger blocks | whole pages of 4 KiB up to 1 MiB, then a mapping each |
//! | Standard library | not needed without the feature `profile`; then this crate needs a C library alone |
//!
//! Two versions of this crate can be linked into one program. Each has a heap of its
//! own, and a block must be freed through the version that allocated it.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

#[doc(inline)]
pub use allocator_core::{Amount, ProfiledStack, Registers, StackWords, Unwinder};
#[doc(inline)]
pub use allocator_core::{Cause, ClassShare, ClassStats, Config, Explanation, Metrics, Stats};
#[doc(inline)]
pub use allocator_core::{Entered, Scope, Scoped};
#[doc(inline)]
pub use allocator_core::{Exceeded, Failure, Number, Signal, Strata, Supply, Thp, Unit, When};
/// Heap profiles: files for `go tool pprof`, folded stacks, pages with a flame graph.
#[cfg(feature = "profile")]
#[doc(inline)]
pub use strata_profile as profile;

mod scope;

#[cfg(feature = "std")]
mod watch;

#[cfg(feature = "http")]
pub mod http;

#[cfg(feature = "tokio")]
pub mod tokio;

#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "prometheus-client")]
pub mod prometheus_client;
#[cfg(feature = "serde")]
pub mod serde;

#[cfg(feature = "std")]
pub use watch::{Point, history, watch};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! Heap profiles of programs whose global allocator is Strata: which functions allocated the
//! memory that is in use.
//!
//! The profile is switched on and off while the program runs. Of each 512 KiB that are
//! allocated one allocation is recorded, in the mean, with its stack; from that all is estimated,
//! without bias.
//!
//! ```
//! use allocator_core::Strata;
//!
//! #[global_allocator]
//! static GLOBAL: Strata = Strata::new();
//!
//! fn main() {
//!     strata_profile::start(Strata::PROFILE_BYTES);
//!     let words: Vec<String> = (0..1000).map(|n| n.to_string().repeat(1000)).collect();
//!     let snapshot = strata_profile::Snapshot::take();
//!     strata_profile::stop();
//!     let file = snapshot.pprof(); // for `go tool pprof`
//!     let page = snapshot.flame_graph(); // for a browser
//!     let lines = snapshot.folded(); // for scripts
//! #   assert!(!file.is_empty() && page.contains("</html>"));
//! #   drop((words, lines));
//! }
//! ```
//!
//! # Stacks
//!
//! They are followed by the tables for exceptions that every object has unless it was built without
//! them (`-C force-unwind-tables=no`), so that no flag is needed. Code that has no tables, such as
//! that of a compiler at run time, needs frame pointers. Of libraries that are loaded later
//! the tables are known from the next [`Snapshot::take`] or [`refresh`] on.
//!
//! What is allocated in a [`Scope`](allocator_core::Scope) has entries of its own: a label in pprof, the
//! outermost frame in folded stacks and in flame graphs.
//!
//! Names come from the symbol tables, files, lines and inlined functions from debug information.
//!
//! Snapshots and names are not for signal handlers: they allocate, and names take locks, which what
//! was interrupted may hold. In the child of a fork names may wait for ever, if another thread
//! of the parent was looking some up.

#![deny(missing_docs)]

mod process;
mod modules;
mod own;
mod unwinder;
mod symbols;
mod snapshot;
mod folded;
mod pprof;
mod flame_graph;
mod leaks;

use std::thread;
use std::time::Duration;

use allocator_core::Strata;

pub use leaks::report_at_exit;
pub use process::{Code, Function, Object, Process};
pub use snapshot::{Change, Entry, Snapshot};

/// Switches the profile on, with one sample in `bytes` bytes, in the mean. Unless you have reasons
/// for another number, that is [`Strata::PROFILE_BYTES`].
pub fn start(bytes: usize) {
    unwinder::refresh();
    Strata::profile_start(bytes);
}

/// Switches the profile off. What was recorded stays, and is kept up to date as blocks are freed.
pub fn stop() {
    Strata::profile_stop();
}

/// Makes libraries that were loaded since the last time known to samples. The stacks of guarded
/// blocks ([`Strata::guarded_start`]) follow the tables for exceptions from the first call on, also
/// while the profile is off.
pub fn refresh() {
    unwinder::refresh();
}

/// What is in use after `duration` that was not before: what grows. The profile must be on.
#[must_use]
pub fn growth(duration: Duration) -> Snapshot {
    let before = Snapshot::take();
    thread::sleep(duration);
    Snapshot::take().since(&before)
}

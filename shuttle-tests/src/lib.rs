//! Whole lives of threads on the allocator's files, unchanged: they allocate, hand blocks over,
//! free what others allocated, end, and purge. shuttle chooses at random, before each access to
//! an atomic, which of them goes on. Other than the models, this shows no weak memory, and no
//! schedule for sure; but all of the allocator takes part, with more threads.
//!
//! ```text
//!  allocator-core/src       the files under test, unchanged
//!  src/scheduled.rs         threads, which shuttle runs one at a time
//!  src/door.rs              their door to atomics: each access is a point to switch at
//!  src/sys.rs               the fake system, with threads and time of an execution
//!  src/lives.rs             what they do
//! ```

mod scheduled;
mod door;
mod sys;

/// The modules of `allocator-core/src/lib.rs`, at the crate's root as there.
macro_rules! modules {
    ($($path:literal $name:ident)*) => {
        $(#[path = $path]
        #[allow(dead_code, unreachable_pub, reason = "the lives reach a part of it")]
        mod $name;)*
    };
}

modules! {
    "../../allocator-core/src/base/mod.rs" base
    "../../allocator-core/src/spans/mod.rs" spans
    "../../allocator-core/src/heaps/mod.rs" heaps
    "../../allocator-core/src/pages/mod.rs" pages
    "../../allocator-core/src/reclaim/mod.rs" reclaim
    "../../allocator-core/src/remote/mod.rs" remote
    "../../allocator-core/src/profile/mod.rs" profile
    "../../allocator-core/src/guarded/mod.rs" guarded
    "../../allocator-core/src/thread/mod.rs" thread
    "../../allocator-core/src/background/mod.rs" background
    "../../allocator-core/src/process/mod.rs" process
    "../../allocator-core/src/alloc.rs" alloc
    "../../allocator-core/src/free.rs" free
    "../../allocator-core/src/realloc.rs" realloc
    "../../allocator-core/src/scope.rs" scope
    "../../allocator-core/src/report/mod.rs" report
    "../../allocator-core/src/strata.rs" strata
}

#[allow(
    unused_imports,
    reason = "the documentation of these files links to names at the root"
)]
use {process::config::Config, report::metrics::Metrics, report::stats::Stats, strata::Strata};

mod lives;

pub use lives::{Plan, Schedules, run};

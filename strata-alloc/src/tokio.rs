//! Runtimes of tokio whose idle threads keep no memory, and a watch as a task.

use ::tokio::runtime::Builder;
use ::tokio::task::{self, JoinHandle};
use ::tokio::time;

use allocator_core::Strata;

use crate::watch::{INTERVAL, Watch};

/// A builder of a runtime with several threads and all drivers, whose threads put their caches
/// away before they sleep ([`Strata::thread_idle`]).
///
/// ```
/// let runtime = strata_alloc::tokio::builder().build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().on_thread_park(Strata::thread_idle);
    builder
}

/// Starts a task that does what [`watch`](crate::watch()) does in a thread. It ends at once if the
/// process has a watch, otherwise with the runtime, or when it is aborted. Each second it
/// reads some small files, without waiting for others.
///
/// # Panics
///
/// Outside of a runtime.
pub fn watch() -> JoinHandle<()> {
    task::spawn(async {
        let Some(mut watch) = Watch::begin() else { return };
        let mut interval = time::interval(INTERVAL);
        interval.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            watch.look();
        }
    })
}

//! Who gives free memory back: the helper, if the process has several threads, or else
//! the thread that frees. A process with one task keeps one task.
//!
//! ```text
//!             a second thread has a cache, or the system counts tasks
//!  by itself ───────────────────────────────────────────────────────► helped
//!            ◄───────────────────────────────────────────────────────
//!             one task is left, or the helper could not be started
//! ```

use crate::base::directory::Address;
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicU32};
use crate::pages::counters::COUNTERS;
use crate::sys;

/// Threads that have a cache now.
static CACHES: AtomicU32 = AtomicU32::new(0);

/// Where their number is, for readers outside of the process.
pub(crate) const fn place_of_caches() -> Address {
    Address::of(&raw const CACHES)
}

/// Whether a helper gives free memory back.
static HELPED: AtomicBool = AtomicBool::new(false);

/// Whether a helper may be started.
static ALLOWED: AtomicBool = AtomicBool::new(true);

/// Counts what the helper is to look at before its time: it sleeps on this word.
static BELL: AtomicU32 = AtomicU32::new(0);

/// Sets whether a helper may be started, from the next time that one is needed.
pub(crate) fn allow(allowed: bool) {
    ALLOWED.store(allowed, ordering::helper_config());
    HELPED.store(allowed && has_several_caches(), ordering::helper_config());
}

/// Whether a helper may be started.
pub(crate) fn is_allowed() -> bool {
    ALLOWED.load(ordering::helper_config())
}

/// Records that the calling thread has a cache now.
pub(crate) fn thread_began() {
    let before = CACHES.fetch_add(1, ordering::threads_with_cache());
    COUNTERS.peak_threads.raise(before as usize + 1);
    if before != 0 && is_allowed() {
        set_helped(true);
    }
}

/// Records that the calling thread has no cache any more. The helper looks whether it is
/// alone with one thread.
pub(crate) fn thread_ended() {
    if CACHES.fetch_sub(1, ordering::threads_with_cache()) == 2 && is_helped() {
        ring();
    }
}

/// The number of threads that have a cache.
pub(crate) fn caches() -> usize {
    CACHES.load(ordering::threads_with_cache()) as usize
}

/// Whether at least two threads have a cache.
pub(crate) fn has_several_caches() -> bool {
    caches() >= 2
}

/// Whether a helper may be started now: that is allowed, and the process has several
/// tasks.
pub(crate) fn may_be_helped() -> bool {
    is_allowed() && (has_several_caches() || sys::task_count().is_some_and(|tasks| tasks > 1))
}

/// Whether a helper gives free memory back.
#[inline]
pub(crate) fn is_helped() -> bool {
    HELPED.load(ordering::helper_config())
}

/// Sets whether a helper gives free memory back.
pub(crate) fn set_helped(helped: bool) {
    HELPED.store(helped, ordering::helper_config());
}

/// Has the helper look at once.
pub(crate) fn ring() {
    BELL.fetch_add(1, ordering::helper_bell());
    sys::futex_wake(&BELL, 1);
}

/// Waits until the bell has rung since `seen`, or that many milliseconds.
pub(crate) fn wait_for_bell(seen: u32, milliseconds: u32) {
    sys::futex_wait_for(&BELL, seen, milliseconds);
}

/// How often the bell has rung.
pub(crate) fn bell() -> u32 {
    BELL.load(ordering::helper_bell())
}

/// In the child of a fork: there is one task, whose thread has a cache or not.
pub(crate) fn after_fork(has_cache: bool) {
    CACHES.store(u32::from(has_cache), ordering::threads_with_cache());
    HELPED.store(false, ordering::helper_config());
}

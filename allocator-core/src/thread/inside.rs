//! Whether a thread is in a slow path. The child of a fork asks that: what was the thread that
//! forked doing (a signal handler may fork), and what were the threads that vanished?

use crate::base::ordering;
use crate::base::sync::{self, AtomicU32};
use crate::thread::cache::Cache;
use crate::thread::current;
use crate::thread::slow_path;

/// Slow paths that threads without a cache are in.
static WITHOUT_CACHE: AtomicU32 = AtomicU32::new(0);

/// The calling thread is in a slow path as long as this lives.
pub(crate) struct Inside(Option<&'static Cache>);

/// Records that the calling thread enters a slow path.
#[inline]
pub(crate) fn enter() -> Inside {
    let cache = current::current();
    match cache {
        // SAFETY: [OWNER-ONLY] it is the calling thread's.
        Some(cache) => unsafe { cache.owner() }.inside += 1,
        None => {
            WITHOUT_CACHE.fetch_add(1, ordering::slow_paths());
        }
    }
    sync::in_order();
    Inside(cache)
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        sync::in_order();
        match self.0 {
            // SAFETY: [OWNER-ONLY] it is the calling thread's, or was until it ended.
            Some(cache) => unsafe { cache.owner() }.inside -= 1,
            None => {
                WITHOUT_CACHE.fetch_sub(1, ordering::slow_paths());
            }
        }
    }
}

/// Runs `f`, which only waits, outside of a slow path of a thread without a cache.
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    WITHOUT_CACHE.fetch_sub(1, ordering::slow_paths());
    let result = f();
    WITHOUT_CACHE.fetch_add(1, ordering::slow_paths());
    result
}

/// In the child of a fork: whether the thread that forked may be in a slow path, which a
/// signal interrupted.
pub(crate) fn is_this_thread() -> bool {
    if slow_path::is_inside() {
        return true;
    }
    match current::current() {
        // SAFETY: [OWNER-ONLY] it is the calling thread's.
        Some(cache) => unsafe { cache.owner() }.inside != 0,
        None => WITHOUT_CACHE.load(ordering::slow_paths()) != 0,
    }
}

/// In the child of a fork, where the calling thread is in no slow path: whether threads
/// without a cache were in any. They vanished, so nobody is from now on.
pub(crate) fn take_vanished() -> bool {
    WITHOUT_CACHE.swap(0, ordering::slow_paths()) != 0
}

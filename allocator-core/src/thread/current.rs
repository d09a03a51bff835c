//! The calling thread's cache, if it has one.

use core::ptr;

use crate::thread::cache::{Cache, ENDED, IN_SLOW_PATH, NO_CACHE};
use crate::thread::tls;

/// The calling thread's cache, if it has one now, and no slow path uses it.
#[inline]
pub(crate) fn current() -> Option<&'static Cache> {
    let now = tls::get();
    if ptr::eq(now, &NO_CACHE) || ptr::eq(now, &ENDED) || ptr::eq(now, &IN_SLOW_PATH) {
        return None;
    }
    // SAFETY: [HEAPS-STAY] a thread's cache lives as long as the thread.
    Some(unsafe { &*now })
}

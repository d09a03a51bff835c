//! The calling thread's cache, if it has one.

use core::ptr;

use crate::thread::cache::{Cache, ENDED, NO_CACHE};
use crate::thread::tls;

/// The calling thread's cache, if it has one now.
#[inline]
pub(crate) fn current() -> Option<&'static Cache> {
    let now = tls::get();
    if ptr::eq(now, &NO_CACHE) || ptr::eq(now, &ENDED) {
        return None;
    }
    // SAFETY: [HEAPS-STAY] a thread's cache lives as long as the thread.
    Some(unsafe { &*now })
}

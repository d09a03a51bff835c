//! The calling thread's cache, if it has one.

use core::ptr;

use crate::thread::cache::{Cache, ENDED, IN_SLOW_PATH, NO_CACHE, PROFILED};
use crate::thread::tls;

/// The calling thread's cache, if it has one now, and no slow path uses it.
#[inline]
pub(crate) fn current() -> Option<&'static Cache> {
    let now = cache_of(tls::get());
    if ptr::eq(now, &NO_CACHE) || ptr::eq(now, &ENDED) || ptr::eq(now, &IN_SLOW_PATH) {
        return None;
    }
    // SAFETY: [HEAPS-STAY] a thread's cache lives as long as the thread.
    Some(unsafe { &*now })
}

/// What a thread's word stands for: itself, or the cache of a profiled thread.
#[inline]
pub(super) fn cache_of(word: *const Cache) -> *const Cache {
    if ptr::eq(word, &PROFILED) { tls::profiled() } else { word }
}

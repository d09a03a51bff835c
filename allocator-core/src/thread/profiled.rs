//! Threads that are profiled: they count what they allocate, for the heap profile or for guarded
//! sampling. Their word holds `PROFILED`, a stand-in that every fast path finds
//! empty, full and foreign; their cache is in another word. So each allocation and each free
//! falls through to its slow path, which counts the bytes, and then takes from the true cache.
//! A thread that is not profiled has nothing to test.
//!
//! ```text
//!            not profiled          profiled
//!  word      cache                 PROFILED
//!  behind    –                     cache
//! ```
//!
//! A thread looks whether it is to be profiled when it leaves a slow path. One that enters none
//! is led there: its view is emptied.

use core::ptr;

use crate::profile::countdown::{Countdown, Due};
use crate::profile::rate;
use crate::thread::cache::{Cache, ENDED, IN_SLOW_PATH, NO_CACHE, PROFILED};
use crate::thread::current;
use crate::thread::tls;

/// Whether the calling thread is profiled, and in no slow path.
#[inline(always)]
pub(crate) fn is_here() -> bool {
    ptr::eq(tls::get(), &PROFILED)
}

/// The cache of the calling thread, which is profiled.
#[inline(always)]
pub(crate) fn cache() -> &'static Cache {
    // SAFETY: [HEAPS-STAY] a profiled thread has a cache, which lives as long as the thread.
    unsafe { &*tls::profiled() }
}

/// Counts the bytes of all threads without a cache.
static WITHOUT_CACHE: Countdown = Countdown::new();

/// Counts an allocation that the calling thread makes on a slow path. Returns what is to be
/// sampled.
#[inline]
pub(crate) fn due(size: usize) -> Option<Due> {
    if rate::is_any_on() { due_here(size) } else { None }
}

#[cold]
fn due_here(size: usize) -> Option<Due> {
    current::current().map_or(&WITHOUT_CACHE, |cache| &cache.countdown).due(size)
}

/// What the word of the calling thread is set to when it leaves a slow path with `word`: another
/// one if it is to be profiled from now on, or no longer.
#[inline]
pub(super) fn word_after(word: &'static Cache) -> &'static Cache {
    if rate::is_any_on() || ptr::eq(word, &PROFILED) { switched(word) } else { word }
}

#[cold]
#[inline(never)]
fn switched(word: &'static Cache) -> &'static Cache {
    if !rate::is_any_on() {
        return if ptr::eq(word, &PROFILED) { cache() } else { word };
    }
    if ptr::eq(word, &PROFILED) {
        // It may have been switched off and on, to another rate, since the thread last looked.
        cache().countdown.draw_again();
        return word;
    }
    if [&NO_CACHE, &ENDED, &IN_SLOW_PATH].iter().any(|it| ptr::eq(*it, word)) {
        return word;
    }
    tls::set_profiled(word);
    word.countdown.draw_again();
    &PROFILED
}

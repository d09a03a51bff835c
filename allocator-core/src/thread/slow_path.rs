//! Entering and leaving slow paths. A slow path takes the thread's cache out of the
//! thread's word, leaves a stand-in there, and puts the cache back at its end. So a
//! signal handler that interrupts it does not find the cache, which may be half changed:
//! the handler's fast paths fall through, and its slow paths allocate and free as a
//! thread without a cache does.
//!
//! ```text
//!  word   cache ──► IN_SLOW_PATH ─────────────────────► cache
//!                     │ a handler here: no cache          │ then, with no lock held:
//!                     │ what cannot be freed now waits    │ what waits is freed,
//!                     │ misuse is noted                   │ and misuse reported
//! ```
//!
//! A thread that leaves a handler by a jump leaves the stand-in in its word: it goes on
//! without a cache.

use core::ptr::{self, NonNull};

use crate::base::later;
use crate::base::misuse;
use crate::base::nested;
use crate::base::shadow;
use crate::base::size_class::CLASSES;
use crate::pages::arena;
use crate::pages::counters::COUNTERS;
use crate::pages::huge_block;
use crate::pages::page_runs;
use crate::remote::send;
use crate::spans::page_map::{self, MAP};
use crate::thread::cache::{Cache, ENDED, IN_SLOW_PATH, NO_CACHE};
use crate::thread::current;
use crate::thread::profiled;
use crate::thread::tls;

/// A slow path of the calling thread.
#[must_use = "a slow path must be left"]
pub(crate) struct SlowPath {
    /// What the thread's word goes back to.
    word: &'static Cache,
}

impl SlowPath {
    /// Enters a slow path.
    #[inline]
    pub(crate) fn enter() -> Self {
        let mut word = tls::get();
        if ptr::eq(word, &NO_CACHE) {
            // In one step: a handler may make the thread a cache.
            word = tls::swap(&IN_SLOW_PATH);
        } else {
            tls::set(&IN_SLOW_PATH);
        }
        if ptr::eq(word, &IN_SLOW_PATH) {
            nested::begin();
        }
        // SAFETY: [HEAPS-STAY] a thread's cache lives as long as the thread, and a stand-in
        // for ever.
        SlowPath { word: unsafe { &*word } }
    }

    /// Enters a slow path of a thread with this cache. Shorter than [`enter`](Self::enter).
    #[inline(always)]
    pub(crate) fn enter_with(cache: &'static Cache) -> Self {
        tls::set(&IN_SLOW_PATH);
        SlowPath { word: cache }
    }

    /// Leaves a slow path that took no lock.
    #[inline(always)]
    pub(crate) fn leave_unsettled(self) {
        tls::set(self.word);
    }

    /// Whether this slow path runs in a signal handler that interrupts another one.
    pub(crate) fn is_nested(&self) -> bool {
        ptr::eq(self.word, &IN_SLOW_PATH)
    }

    /// Whether the thread never had a cache.
    pub(super) fn has_no_cache_yet(&self) -> bool {
        ptr::eq(self.word, &NO_CACHE)
    }

    /// The calling thread's cache, if it has one, and no interrupted code uses it or its
    /// heap.
    #[inline]
    pub(crate) fn cache(&self) -> Option<&'static Cache> {
        let stand_in = ptr::eq(self.word, &IN_SLOW_PATH)
            || ptr::eq(self.word, &NO_CACHE)
            || ptr::eq(self.word, &ENDED);
        // SAFETY: [HEAPS-STAY] as in `enter`.
        let cache = unsafe { &*current::cache_of(self.word) };
        (!stand_in && !cache.heap.is_held_here()).then_some(cache)
    }

    /// Counts a page run or huge block that the thread got.
    pub(crate) fn count_large(&self, bytes: usize) {
        match self.cache() {
            Some(cache) => cache.heap.tally.took_large(bytes),
            None => COUNTERS.large.add(1, bytes),
        }
    }

    /// Counts a page run or huge block that the thread freed, if it did.
    pub(crate) fn count_freed(&self, freed: bool) {
        match self.cache() {
            Some(cache) => cache.heap.tally.large_freed.add(usize::from(freed)),
            None => COUNTERS.large_freed.add(usize::from(freed)),
        }
    }

    /// Sets what the thread's word goes back to.
    pub(super) fn set_cache(&mut self, cache: &'static Cache) {
        if self.is_nested() {
            nested::end();
        }
        self.word = cache;
    }

    /// Leaves the slow path: from now on the thread is profiled, or no longer, if that was
    /// switched. Returns whether it was not nested; then what had to wait for
    /// its locks is freed, and a misuse that it noted is reported. The caller holds no lock.
    #[inline]
    pub(crate) fn leave(self) -> bool {
        if self.is_nested() {
            nested::end();
            return false;
        }
        tls::set(profiled::word_after(self.word));
        settle();
        true
    }
}

/// Whether the calling thread is in a slow path: the caller runs in a signal handler.
pub(crate) fn is_inside() -> bool {
    ptr::eq(tls::get(), &IN_SLOW_PATH)
}

/// Frees what had to wait for a lock, and reports a misuse that the calling thread noted.
/// The caller holds no lock, and the thread's cache is in its place.
#[inline]
pub(crate) fn settle() {
    if !later::BLOCKS.is_empty() {
        free_waiting();
    }
    misuse::report_noted();
}

#[cold]
#[inline(never)]
fn free_waiting() {
    let slow = SlowPath::enter();
    later::BLOCKS.take_all(|link| {
        let ptr = link.cast::<u8>();
        shadow::taken_back(ptr.as_ptr(), size_of::<later::Link>());
        let entry = MAP.entry(ptr.as_ptr());
        if (page_map::kind(entry) as usize) < CLASSES {
            // Counted when it was kept.
            // SAFETY: [LIVE-PINS-SPAN] the block is still out.
            unsafe { send::send_one(ptr.as_ptr()) };
        } else {
            free_large(ptr, entry);
        }
    });
    slow.leave_unsettled();
}

fn free_large(ptr: NonNull<u8>, entry: u32) {
    let ptr = ptr.as_ptr();
    let freed = match page_map::kind(entry) {
        page_map::MEDIUM => arena::put_run(ptr, page_map::owner(entry), page_runs::bytes_at(ptr)),
        _ => huge_block::put(ptr, huge_block::bytes_at(ptr)),
    };
    COUNTERS.large_freed.add(usize::from(freed));
}

//! A lock of one word. Without contention it takes one compare-and-swap to
//! acquire and one swap to release. The word names the holder, so the child of
//! a fork can tell which locks belong to threads that do not exist there, and a
//! signal handler which ones the thread that it interrupted holds.
//!
//! ```text
//!  word   0            free
//!         token        held by the thread with that token
//!         token|WAIT   held, and a thread may sleep until it is free
//! ```

use crate::base::nested;
use crate::base::ordering;
use crate::base::sync::{self, AtomicU32};

const WAIT: u32 = 1 << 31;
/// Number of looks at a held lock before the thread sleeps.
#[cfg(not(strata_loom))]
const SPINS: u32 = 100;
/// Small, so that the models reach the sleep.
#[cfg(strata_loom)]
const SPINS: u32 = 1;

/// Number of milliseconds that a nested slow path waits for a lock: a holder that runs has
/// released it long before.
#[cfg(not(strata_loom))]
const NAPS: u32 = 100;
#[cfg(strata_loom)]
const NAPS: u32 = 1;

/// Whether a lock that another thread holds is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As [`Lock::lock`] does.
    Yes,
    /// Not at all: the caller may interrupt whoever holds another one.
    No,
}

pub(crate) struct Lock {
    word: AtomicU32,
}

/// Proof that the lock is held. Releases it when dropped.
pub(crate) struct LockGuard<'a> {
    lock: &'a Lock,
}

impl Lock {
    pub(crate) const fn new() -> Self {
        Lock { word: AtomicU32::new(0) }
    }

    /// Acquires the lock if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<LockGuard<'_>> {
        self.word
            .compare_exchange(
                0,
                sync::thread_token(),
                ordering::lock_acquire(),
                ordering::lock_peek(),
            )
            .ok()
            .map(|_| LockGuard { lock: self })
    }

    /// Waits for the lock and acquires it. Returns `None` at once if the calling
    /// thread holds it: the caller runs in a signal handler, and what it interrupted
    /// has the lock. Returns `None` after a while if a handler interrupts a slow path:
    /// that may hold a lock that the holder of this one waits for.
    #[inline]
    pub(crate) fn lock(&self) -> Option<LockGuard<'_>> {
        match self.try_lock() {
            Some(held) => Some(held),
            None => self.lock_slow(),
        }
    }

    /// Acquires the lock as [`lock`](Self::lock) or [`try_lock`](Self::try_lock) does.
    pub(crate) fn lock_as(&self, wait: Wait) -> Option<LockGuard<'_>> {
        if wait == Wait::Yes { self.lock() } else { self.try_lock() }
    }

    #[cold]
    fn lock_slow(&self) -> Option<LockGuard<'_>> {
        let token = sync::thread_token();
        let (mut spins, mut naps) = (0, 0);
        let mut mine = token;
        loop {
            let seen = self.word.load(ordering::lock_peek());
            if is_by(seen, token) && sync::step("lock_knows_holder") {
                return None;
            }
            if seen == 0 {
                if self
                    .word
                    .compare_exchange(0, mine, ordering::lock_acquire(), ordering::lock_peek())
                    .is_ok()
                {
                    return Some(LockGuard { lock: self });
                }
            } else if spins < SPINS {
                spins += 1;
                sync::relax();
            } else if nested::is_here() && sync::step("lock_nested_gives_up") {
                if naps == NAPS {
                    return None;
                }
                naps += 1;
                // Not on the word, where this thread would be woken instead of another.
                sync::nap();
            } else {
                // A thread that has slept acquires the lock with WAIT set:
                // others may still sleep, and only this word records it.
                mine = token | WAIT;
                let marked = seen | WAIT;
                if seen == marked
                    || self
                        .word
                        .compare_exchange(
                            seen,
                            marked,
                            ordering::lock_peek(),
                            ordering::lock_peek(),
                        )
                        .is_ok()
                {
                    sync::wait(&self.word, marked);
                }
            }
        }
    }

    /// Releases the lock, which the calling thread holds, and whose guard it has forgotten.
    pub(crate) fn unlock(&self) {
        drop(LockGuard { lock: self });
    }

    /// Whether the calling thread holds the lock: in a signal handler, what it
    /// interrupted may.
    #[inline]
    pub(crate) fn is_held_here(&self) -> bool {
        let seen = self.word.load(ordering::lock_peek());
        seen != 0 && is_by(seen, sync::thread_token())
    }

    /// In the child of a fork: returns whether a thread other than the one
    /// that forked holds the lock. It will never be released.
    pub(crate) fn is_orphaned(&self) -> bool {
        let seen = self.word.load(ordering::lock_peek());
        seen != 0 && !is_by(seen, sync::thread_token())
    }

    /// In the child of a fork: releases an orphaned lock whose data is
    /// consistent after every single store, or was made again.
    pub(crate) fn force_unlock(&self) {
        self.word.store(0, ordering::lock_peek());
    }
}

/// Whether a word, not 0, says that the thread with this token holds the lock.
fn is_by(word: u32, token: u32) -> bool {
    word & !WAIT == token
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.lock.word.swap(0, ordering::lock_release()) & WAIT != 0 && sync::step("lock_wakes")
        {
            sync::wake(&self.lock.word);
        }
    }
}

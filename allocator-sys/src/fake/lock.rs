//! A spin lock that can be held across `fork`.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use super::vanish;

/// A value protected by a spin lock.
pub(super) struct SpinLock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

/// Access to the value. Dropping it unlocks.
pub(super) struct SpinGuard<'a, T> {
    lock: &'a SpinLock<T>,
}

// SAFETY: the lock gives one thread at a time access to the value.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// An unlocked lock around `value`.
    pub(super) const fn new(value: T) -> Self {
        Self { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Locks and returns access to the value. The thread may vanish before, and after the guard
    /// is dropped.
    pub(super) fn lock(&self) -> SpinGuard<'_, T> {
        vanish::step();
        self.acquire();
        SpinGuard { lock: self }
    }

    /// Locks without a guard.
    pub(super) fn acquire(&self) {
        while self.held.swap(true, Ordering::Acquire) {
            // SAFETY: takes no arguments, and accesses no memory of ours.
            unsafe { libc::sched_yield() };
        }
    }

    /// Unlocks. The caller holds the lock.
    pub(super) fn unlock(&self) {
        self.held.store(false, Ordering::Release);
    }
}

impl<T> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held as long as `self` lives.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.unlock();
        vanish::step();
    }
}

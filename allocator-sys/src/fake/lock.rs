//! A lock that spins, and that `fork` can hold.

use crate::linux;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A value for one thread at a time.
pub(super) struct Spin<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

/// The value, until dropped.
pub(super) struct Held<'a, T> {
    spin: &'a Spin<T>,
}

// SAFETY: the value is reached by one thread at a time only.
unsafe impl<T: Send> Sync for Spin<T> {}

impl<T> Spin<T> {
    /// A free lock around `value`.
    pub(super) const fn new(value: T) -> Self {
        Self { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Waits for the value.
    pub(super) fn lock(&self) -> Held<'_, T> {
        self.acquire();
        Held { spin: self }
    }

    /// Waits for the lock and takes it without a guard.
    pub(super) fn acquire(&self) {
        while self.held.swap(true, Ordering::Acquire) {
            linux::yield_now();
        }
    }

    /// Frees the lock; only for who holds it.
    pub(super) fn free(&self) {
        self.held.store(false, Ordering::Release);
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held as long as `self` lives.
        unsafe { &*self.spin.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.spin.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.spin.free();
    }
}

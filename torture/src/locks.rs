//! The locks of the engine. They are those of the standard library, which is built without
//! the instrumentation of ThreadSanitizer: it would see no order between two threads that had
//! to wait for one another. So in a build for it (`--cfg strata_tsan`), each lock tells it
//! who follows whom.

#[cfg(not(strata_tsan))]
mod door {
    pub(crate) use std::sync::{Mutex, MutexGuard, RwLock};
}

#[cfg(strata_tsan)]
mod door {
    use std::ffi::c_void;
    use std::ops::{Deref, DerefMut};
    use std::sync::{self, LockResult, PoisonError, RwLockReadGuard, RwLockWriteGuard};

    unsafe extern "C" {
        /// What follows in this thread comes after what preceded [`__tsan_release`] in others.
        fn __tsan_acquire(place: *const c_void);
        fn __tsan_release(place: *const c_void);
    }

    /// Stands for an order between threads.
    #[derive(Default)]
    struct Order(u8);

    impl Order {
        fn place(&self) -> *const c_void {
            (&raw const self.0).cast()
        }

        fn acquire(&self) {
            // SAFETY: the sanitizer only looks at the address.
            unsafe { __tsan_acquire(self.place()) };
        }
    }

    /// A guard, before whose end the order is released.
    pub(crate) struct Told<'a, G> {
        guard: G,
        order: &'a Order,
    }

    pub(crate) type MutexGuard<'a, T> = Told<'a, sync::MutexGuard<'a, T>>;

    impl<G> Drop for Told<'_, G> {
        fn drop(&mut self) {
            // SAFETY: as above.
            unsafe { __tsan_release(self.order.place()) };
        }
    }

    impl<G: Deref> Deref for Told<'_, G> {
        type Target = G::Target;

        fn deref(&self) -> &G::Target {
            &self.guard
        }
    }

    impl<G: DerefMut> DerefMut for Told<'_, G> {
        fn deref_mut(&mut self) -> &mut G::Target {
            &mut self.guard
        }
    }

    /// As the standard library's.
    pub(crate) struct Mutex<T> {
        inner: sync::Mutex<T>,
        order: Order,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex { inner: sync::Mutex::new(value), order: Order::default() }
        }

        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            let guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            self.order.acquire();
            Ok(Told { guard, order: &self.order })
        }

        pub(crate) fn try_lock(&self) -> Result<MutexGuard<'_, T>, ()> {
            let guard = self.inner.try_lock().map_err(drop)?;
            self.order.acquire();
            Ok(Told { guard, order: &self.order })
        }
    }

    /// As the standard library's. Readers are in no order among themselves.
    pub(crate) struct RwLock<T> {
        inner: sync::RwLock<T>,
        readers: Order,
        writers: Order,
    }

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            let inner = sync::RwLock::new(value);
            RwLock { inner, readers: Order::default(), writers: Order::default() }
        }

        pub(crate) fn read(&self) -> LockResult<Told<'_, RwLockReadGuard<'_, T>>> {
            let guard = self.inner.read().unwrap_or_else(PoisonError::into_inner);
            self.writers.acquire();
            Ok(Told { guard, order: &self.readers })
        }

        pub(crate) fn write(&self) -> LockResult<Told<'_, RwLockWriteGuard<'_, T>>> {
            let guard = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            self.writers.acquire();
            self.readers.acquire();
            Ok(Told { guard, order: &self.writers })
        }
    }
}

pub(crate) use door::*;

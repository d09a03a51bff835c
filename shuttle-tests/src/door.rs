//! The allocator's door to atomics, as `allocator-core/src/base/sync.rs` describes it: before
//! each operation another thread may go on.

use core::sync::atomic::{self, Ordering};

pub(crate) use loose::*;

use crate::scheduled;

/// Atomics of the same size and contents as those of `core`, as tables of them lie in memory
/// that only reads as zero.
mod loose {
    use super::{Ordering, atomic, scheduled};

    macro_rules! atomics {
        ($($name:ident $value:ty {
            $($method:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*
        })*) => {
            $(
                #[repr(transparent)]
                pub(crate) struct $name(atomic::$name);

                #[allow(dead_code, reason = "each type has the same methods")]
                impl $name {
                    pub(crate) const fn new(value: $value) -> Self {
                        $name(atomic::$name::new(value))
                    }

                    pub(crate) fn load(&self, order: Ordering) -> $value {
                        scheduled::pause();
                        self.0.load(order)
                    }

                    pub(crate) fn store(&self, value: $value, order: Ordering) {
                        scheduled::pause();
                        self.0.store(value, order);
                    }

                    pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                        scheduled::pause();
                        self.0.swap(value, order)
                    }

                    pub(crate) fn compare_exchange(
                        &self,
                        from: $value,
                        to: $value,
                        order: Ordering,
                        failed: Ordering,
                    ) -> Result<$value, $value> {
                        scheduled::pause();
                        self.0.compare_exchange(from, to, order, failed)
                    }

                    pub(crate) fn compare_exchange_weak(
                        &self,
                        from: $value,
                        to: $value,
                        order: Ordering,
                        failed: Ordering,
                    ) -> Result<$value, $value> {
                        self.compare_exchange(from, to, order, failed)
                    }

                    $(
                        pub(crate) fn $method(&self, $($argument: $kind),*) -> $result {
                            scheduled::pause();
                            self.0.$method($($argument),*)
                        }
                    )*
                }
            )*
        };
    }

    macro_rules! numbers {
        ($($name:ident $value:ty)*) => {
            atomics! {
                $($name $value {
                    fetch_add(value: $value, order: Ordering) -> $value;
                    fetch_sub(value: $value, order: Ordering) -> $value;
                    fetch_and(value: $value, order: Ordering) -> $value;
                    fetch_or(value: $value, order: Ordering) -> $value;
                    fetch_max(value: $value, order: Ordering) -> $value;
                    fetch_min(value: $value, order: Ordering) -> $value;
                })*
            }
        };
    }

    numbers! {
        AtomicU8 u8
        AtomicU16 u16
        AtomicU32 u32
        AtomicU64 u64
        AtomicUsize usize
    }

    atomics! {
        AtomicBool bool {
            fetch_or(value: bool, order: Ordering) -> bool;
        }
    }

    impl AtomicUsize {
        pub(crate) fn fetch_update(
            &self,
            order: Ordering,
            failed: Ordering,
            mut f: impl FnMut(usize) -> Option<usize>,
        ) -> Result<usize, usize> {
            let mut seen = self.load(failed);
            while let Some(new) = f(seen) {
                match self.compare_exchange(seen, new, order, failed) {
                    Ok(_) => return Ok(seen),
                    Err(other) => seen = other,
                }
            }
            Err(seen)
        }
    }

    /// As the others.
    #[repr(transparent)]
    pub(crate) struct AtomicPtr<T>(atomic::AtomicPtr<T>);

    impl<T> AtomicPtr<T> {
        pub(crate) const fn new(value: *mut T) -> Self {
            AtomicPtr(atomic::AtomicPtr::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> *mut T {
            scheduled::pause();
            self.0.load(order)
        }

        pub(crate) fn store(&self, value: *mut T, order: Ordering) {
            scheduled::pause();
            self.0.store(value, order);
        }

        pub(crate) fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
            scheduled::pause();
            self.0.swap(value, order)
        }

        pub(crate) fn compare_exchange(
            &self,
            from: *mut T,
            to: *mut T,
            order: Ordering,
            failed: Ordering,
        ) -> Result<*mut T, *mut T> {
            scheduled::pause();
            self.0.compare_exchange(from, to, order, failed)
        }

        pub(crate) fn compare_exchange_weak(
            &self,
            from: *mut T,
            to: *mut T,
            order: Ordering,
            failed: Ordering,
        ) -> Result<*mut T, *mut T> {
            self.compare_exchange(from, to, order, failed)
        }
    }
}

/// Data that one holder at a time may touch. Each use names the holder.
#[repr(transparent)]
pub(crate) struct Guarded<T>(core::cell::UnsafeCell<T>);

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Guarded(core::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

pub(crate) fn peek<T>(word: &AtomicPtr<T>, order: Ordering) -> *mut T {
    word.load(order)
}

pub(crate) fn peek_mask(word: &AtomicU64, order: Ordering) -> u64 {
    word.load(order)
}

pub(crate) fn peek_word(word: &AtomicUsize, order: Ordering) -> usize {
    word.load(order)
}

pub(crate) fn store_word(word: &AtomicUsize, value: usize, order: Ordering) {
    word.store(value, order);
}

pub(crate) fn store_mask(word: &AtomicU64, value: u64, order: Ordering) {
    word.store(value, order);
}

pub(crate) const fn ordering(_label: &'static str, order: Ordering) -> Ordering {
    order
}

/// Returns whether a labelled step is taken: all but the one that the plan leaves out.
pub(crate) fn step(label: &'static str) -> bool {
    !scheduled::is_left_out(label)
}

/// A thread that sleeps looks by itself.
pub(crate) fn wait(word: &AtomicU32, seen: u32) {
    while word.load(Ordering::Relaxed) == seen {
        scheduled::wait();
    }
}

/// Looks that a thread takes at a word while it sleeps for a time.
const LOOKS: usize = 3;

pub(crate) fn wait_briefly(word: &AtomicU32, seen: u32) {
    for _ in 0..LOOKS {
        if word.load(Ordering::Relaxed) != seen {
            return;
        }
        scheduled::rest();
    }
}

pub(crate) fn nap() {
    scheduled::rest();
}

pub(crate) fn wake(_word: &AtomicU32) {}

pub(crate) fn relax() {
    scheduled::rest();
}

/// The child of a fork finds what was stored before.
pub(crate) fn in_order() {
    scheduled::pause();
}

pub(crate) fn thread_token() -> u32 {
    scheduled::token()
}

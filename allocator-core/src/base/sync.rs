//! The only file that names `core::sync`. Every other file imports its atomics from here.
//!
//! Those who compile these files for models or random schedules have a door of their own:
//! `loom-tests/src/door.rs`, with `--cfg strata_loom` (a bare `loom` would reach every
//! dependency), and `shuttle-tests/src/door.rs`, with `--cfg strata_shuttle`.

#[cfg(not(any(strata_loom, strata_shuttle)))]
mod door {
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
    };

    use core::sync::atomic::Ordering;

    /// Data that one holder at a time may touch. Each use names the holder.
    #[repr(transparent)]
    pub(crate) struct Guarded<T>(core::cell::UnsafeCell<T>);

    impl<T> Guarded<T> {
        pub(crate) const fn new(value: T) -> Self {
            Guarded(core::cell::UnsafeCell::new(value))
        }

        /// Runs `f` on the data. The caller holds what guards the data.
        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    /// Loads a word that the same thread may change by a read-modify-write next.
    #[inline(always)]
    pub(crate) fn peek<T>(word: &AtomicPtr<T>, order: Ordering) -> *mut T {
        word.load(order)
    }

    /// Like [`peek`], for a mask.
    #[inline(always)]
    pub(crate) fn peek_mask(word: &AtomicU64, order: Ordering) -> u64 {
        word.load(order)
    }

    /// Like [`peek`], for a word that another thread may set meanwhile.
    #[inline(always)]
    pub(crate) fn peek_word(word: &AtomicUsize, order: Ordering) -> usize {
        word.load(order)
    }

    /// Stores a word that no other thread changes, though others look at it.
    #[inline(always)]
    pub(crate) fn store_word(word: &AtomicUsize, value: usize, order: Ordering) {
        word.store(value, order);
    }

    /// Stores a mask that no other thread changes, though others look at it.
    #[inline(always)]
    pub(crate) fn store_mask(word: &AtomicU64, value: u64, order: Ordering) {
        word.store(value, order);
    }

    /// The ordering of a labelled site. Outside the models: as written.
    #[inline(always)]
    pub(crate) const fn ordering(_label: &'static str, order: Ordering) -> Ordering {
        order
    }

    /// Returns whether a labelled step is taken. Outside the models: always.
    #[inline(always)]
    pub(crate) const fn step(_label: &'static str) -> bool {
        true
    }

    /// Waits until `word` may differ from `seen`.
    #[inline]
    pub(crate) fn wait(word: &AtomicU32, seen: u32) {
        crate::sys::futex_wait(word, seen);
    }

    /// Sleeps for a moment, unless `word` differs from `seen`. A thread that only yields
    /// would keep one of a lower priority from running.
    pub(crate) fn wait_briefly(word: &AtomicU32, seen: u32) {
        crate::sys::futex_wait_for(word, seen, 1);
    }

    /// Sleeps for a millisecond.
    pub(crate) fn nap() {
        crate::sys::futex_wait_for(&AtomicU32::new(0), 0, 1);
    }

    /// Wakes one waiter of `word`.
    #[inline]
    pub(crate) fn wake(word: &AtomicU32) {
        crate::sys::futex_wake(word, 1);
    }

    /// Hints to the CPU that this thread spins.
    #[inline]
    pub(crate) fn relax() {
        core::hint::spin_loop();
    }

    /// Keeps the compiler from moving stores across this point. The child of a
    /// fork may find any prefix of a vanished thread's stores done.
    #[inline(always)]
    pub(crate) fn in_order() {
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
    }

    /// Identifies the calling thread among the living ones: 31 bits, never 0.
    #[inline]
    pub(crate) fn thread_token() -> u32 {
        crate::sys::thread_token()
    }
}

#[cfg(any(strata_loom, strata_shuttle))]
use crate::door;

pub(crate) use door::*;

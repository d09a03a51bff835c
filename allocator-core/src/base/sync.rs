//! The only file that names `core::sync` or, when the models compile these
//! files, loom. Every other file imports its atomics from here.
//!
//! The models are built with `--cfg strata_loom`. The name is our own because
//! a bare `loom` would reach every dependency. With `--cfg strata_shuttle`, the
//! door is that of random schedules.

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

#[cfg(strata_loom)]
mod door {
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
    };

    use core::sync::atomic::Ordering;

    pub(crate) struct Guarded<T>(loom::cell::UnsafeCell<T>);

    impl<T> Guarded<T> {
        pub(crate) fn new(value: T) -> Self {
            Guarded(loom::cell::UnsafeCell::new(value))
        }

        /// Every access counts as a write, so loom reports any two that race.
        pub(crate) fn with<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            self.0.with_mut(f)
        }
    }

    /// A read-modify-write that changes nothing. A plain load before a
    /// read-modify-write would make loom miss interleavings.
    pub(crate) fn peek<T>(word: &AtomicPtr<T>, order: Ordering) -> *mut T {
        let _ = order;
        match word.compare_exchange(
            core::ptr::null_mut(),
            core::ptr::null_mut(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            Ok(value) | Err(value) => value,
        }
    }

    pub(crate) fn peek_mask(word: &AtomicU64, order: Ordering) -> u64 {
        let _ = order;
        word.fetch_or(0, Ordering::Relaxed)
    }

    pub(crate) fn peek_word(word: &AtomicUsize, order: Ordering) -> usize {
        word.fetch_or(0, order)
    }

    /// A look of another thread is a read-modify-write here, which must not be lost.
    pub(crate) fn store_mask(word: &AtomicU64, value: u64, order: Ordering) {
        word.swap(value, order);
    }

    pub(crate) fn store_word(word: &AtomicUsize, value: usize, order: Ordering) {
        word.swap(value, order);
    }

    /// The models know the site by its place in the source.
    #[track_caller]
    pub(crate) fn ordering(label: &'static str, order: Ordering) -> Ordering {
        crate::active_twin::ordering(label, order)
    }

    pub(crate) fn step(label: &'static str) -> bool {
        crate::active_twin::step(label)
    }

    pub(crate) fn wait(word: &AtomicU32, seen: u32) {
        crate::sys::futex_wait(word, seen);
    }

    pub(crate) fn wait_briefly(_word: &AtomicU32, _seen: u32) {
        loom::thread::yield_now();
    }

    pub(crate) fn nap() {
        loom::thread::yield_now();
    }

    pub(crate) fn wake(word: &AtomicU32) {
        crate::sys::futex_wake(word);
    }

    pub(crate) fn relax() {
        loom::thread::yield_now();
    }

    pub(crate) fn in_order() {}

    pub(crate) fn thread_token() -> u32 {
        crate::active_twin::thread_token()
    }
}

#[cfg(strata_shuttle)]
use crate::door;

pub(crate) use door::*;

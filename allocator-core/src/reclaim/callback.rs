//! A function that a lower layer calls, of the program or of a higher layer. One of the program's
//! is told of something at the end of a slow path, by one thread at a time, with no lock held that
//! allocations need: it may allocate, fork, and leave by a jump.

use core::marker::PhantomData;
use core::mem;
use core::ptr;

use crate::base::lock::{Lock, LockGuard};
use crate::base::ordering;
use crate::base::sync::AtomicPtr;
use crate::reclaim::purge;

/// A function of type `F`, which is a function pointer, or none yet.
pub(crate) struct Callback<F> {
    function: AtomicPtr<()>,
    /// Held by the thread that calls it, so that it does not recurse. If it leaves by a jump, it
    /// is not called again.
    calling: Lock,
    kind: PhantomData<F>,
}

impl<F: Copy> Callback<F> {
    pub(crate) const fn new() -> Self {
        const { assert!(size_of::<F>() == size_of::<*mut ()>(), "a function pointer") };
        Callback {
            function: AtomicPtr::new(ptr::null_mut()),
            calling: Lock::new(),
            kind: PhantomData,
        }
    }

    /// Sets the function to call, in place of the one before.
    pub(crate) fn set(&self, function: F) {
        // SAFETY: `F` is a function pointer.
        let function = unsafe { mem::transmute_copy::<F, *mut ()>(&function) };
        self.function.store(function, ordering::callback());
    }

    /// The function to call.
    pub(crate) fn get(&self) -> Option<F> {
        let function = self.function.load(ordering::callback());
        // SAFETY: only functions of this type are stored there.
        (!function.is_null()).then(|| unsafe { mem::transmute_copy::<*mut (), F>(&function) })
    }

    /// Has the calling thread tell of something, until the guard is dropped. `None`: another
    /// thread does, or this one already; or it is in a signal handler that interrupts a purge.
    pub(super) fn begin(&self) -> Option<LockGuard<'_>> {
        if purge::is_held_here() { None } else { self.calling.try_lock() }
    }

    /// In the child of a fork: no other thread tells of anything.
    pub(super) fn after_fork(&self) {
        if self.calling.is_orphaned() {
            self.calling.force_unlock();
        }
    }
}

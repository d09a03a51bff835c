//! Telling the program how much memory there is in its container: on a slow path of one of its
//! threads, or in the thread that it lends.

use core::ptr;

use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicU8};
use crate::pages::cgroup::{self, Supply};
use crate::reclaim::purge;

/// The program's callback: a `fn(Supply)`, or null.
static CALLBACK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// What the program was told last.
static TOLD: AtomicU8 = AtomicU8::new(Supply::Plenty as u8);

/// Held by the thread that runs the callback, which does not recurse.
static CALLING: Lock = Lock::new();

/// Sets the function to call when there is more or less memory, in place of the one before. It is
/// told of what it does not know yet.
pub(crate) fn call(callback: fn(Supply)) {
    CALLBACK.store(callback as *mut (), ordering::pressure_callback());
    TOLD.store(Supply::Plenty as u8, ordering::pressure_told());
}

/// Called at the end of slow paths, where no lock is held: tells the program if something changed.
#[inline]
pub(crate) fn check() {
    if is_news() {
        tell();
    }
}

#[inline]
fn is_news() -> bool {
    cgroup::now() as u8 != TOLD.load(ordering::pressure_told())
}

#[cold]
#[inline(never)]
fn tell() {
    // Not in a signal handler that interrupts a purge: the callback runs with no lock held.
    if purge::is_held_here() {
        return;
    }
    let Some(_held) = CALLING.try_lock() else { return };
    // Others may have told it meanwhile.
    if is_news() {
        let now = cgroup::now();
        TOLD.store(now as u8, ordering::pressure_told());
        call_back(now);
    }
}

/// Looks how much memory there is, and tells the program if something changed.
pub(crate) fn look() -> Supply {
    cgroup::update();
    check();
    cgroup::now()
}

/// Allocations do not unwind: a panic of the program's callback ends the process here.
extern "C" fn call_back(now: Supply) {
    let callback = CALLBACK.load(ordering::pressure_callback());
    if !callback.is_null() {
        // SAFETY: only functions of this type are stored there.
        let callback = unsafe { core::mem::transmute::<*mut (), fn(Supply)>(callback) };
        callback(now);
    }
}

/// In the child of a fork: no other thread tells it.
pub(crate) fn after_fork() {
    if CALLING.is_orphaned() {
        CALLING.force_unlock();
    }
}

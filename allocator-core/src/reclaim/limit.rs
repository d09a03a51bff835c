//! Enforcement of the soft limit: above it, all free memory is purged. If that is not
//! enough, the program is told, by a callback.

use core::ptr;

use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::sync::AtomicPtr;
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::reclaim::pressure;
use crate::reclaim::purge;

/// The program's callback: a `fn(usize)`, or null.
static CALLBACK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Held by the thread that enforces the limit.
static BUSY: Lock = Lock::new();

/// Held by the thread that runs the callback, which does not recurse. Apart from
/// [`BUSY`]: if the callback leaves by a jump, it is not called again, but the limit is
/// still enforced.
static CALLING: Lock = Lock::new();

/// Sets the function to call above the limit, in place of the one before.
pub(crate) fn call(callback: fn(usize)) {
    CALLBACK.store(callback as *mut (), ordering::limit_callback());
}

/// Called at the end of slow paths that may have taken memory, where no lock is held:
/// enforces the limit if that was too much. The program is told how much memory there is, too.
#[inline]
pub(crate) fn check() {
    pressure::check();
    if COMMITTED.may_be_over() {
        enforce();
    }
}

#[cold]
#[inline(never)]
fn enforce() {
    if !is_over() {
        return;
    }
    let Some(_held) = CALLING.try_lock() else { return };
    if COMMITTED.mark_told() {
        call_back(COMMITTED.bytes());
    }
}

/// Gives back what is free if the limit is exceeded. Returns whether it still is.
fn is_over() -> bool {
    // Not in a signal handler that interrupts a purge: the callback runs with no lock held.
    if purge::is_held_here() {
        return false;
    }
    let Some(_held) = BUSY.try_lock() else { return false };
    if !COMMITTED.check_over() {
        return false;
    }
    give_back();
    COMMITTED.check_over()
}

/// Purges all free memory. A program that was told and stays above the limit gets that
/// only where it makes a difference: it would purge at every span.
fn give_back() {
    if !COMMITTED.is_told() || usage::dirty() > COMMITTED.limit() / 16 {
        purge::purge_all();
    }
}

/// Allocations do not unwind: a panic of the program's callback ends the process here.
extern "C" fn call_back(bytes: usize) {
    let callback = CALLBACK.load(ordering::limit_callback());
    if !callback.is_null() {
        // SAFETY: only functions of this type are stored there.
        let callback = unsafe { core::mem::transmute::<*mut (), fn(usize)>(callback) };
        callback(bytes);
    }
}

/// In the child of a fork: no other thread enforces the limit.
pub(crate) fn after_fork() {
    for lock in [&BUSY, &CALLING] {
        if lock.is_orphaned() {
            lock.force_unlock();
        }
    }
}

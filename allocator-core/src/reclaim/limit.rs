//! Enforcement of the soft limit: above it, all free memory is purged. If that is not
//! enough, the program is told, by a callback.

use core::ptr;

use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicPtr};
use crate::pages::committed;
use crate::pages::usage;
use crate::reclaim::purge;

/// The program's callback: a `fn(usize)`, or null.
static CALLBACK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Set while a thread enforces the limit. Its callback does not recurse into this.
static BUSY: AtomicBool = AtomicBool::new(false);

/// Sets the function to call above the limit, in place of the one before.
pub(crate) fn call(callback: fn(usize)) {
    CALLBACK.store(callback as *mut (), ordering::limit_callback());
}

/// Called at the end of slow paths that may have taken memory, where no lock is held:
/// enforces the limit if that was too much.
#[inline]
pub(crate) fn check() {
    if committed::may_be_over() {
        enforce();
    }
}

#[cold]
#[inline(never)]
fn enforce() {
    if BUSY.load(ordering::limit_busy()) || BUSY.swap(true, ordering::lock_acquire()) {
        return;
    }
    if committed::check_over() {
        give_back();
        if committed::check_over() && committed::mark_told() {
            call_back(committed::bytes());
        }
    }
    BUSY.store(false, ordering::lock_release());
}

/// Purges all free memory. A program that was told and stays above the limit gets that
/// only where it makes a difference: it would purge at every span.
fn give_back() {
    if !committed::is_told() || usage::dirty() > committed::limit() / 16 {
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
    BUSY.store(false, ordering::lock_release());
}

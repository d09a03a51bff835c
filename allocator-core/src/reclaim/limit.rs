//! What follows from going above the soft limit: all free memory goes back,
//! and if that is not enough, the program is told.

use core::ptr;

use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicPtr};
use crate::pages::committed;
use crate::pages::usage;
use crate::reclaim::purge;

/// What the program wants called: a `fn(usize)`, or null.
static CALLBACK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// One thread sees to the limit at a time, and what it calls does not come
/// back here.
static BUSY: AtomicBool = AtomicBool::new(false);

/// Says what to call above the limit, instead of what was called before.
pub(crate) fn call(callback: fn(usize)) {
    CALLBACK.store(callback as *mut (), ordering::limit_callback());
}

/// At the end of slow paths that may have taken memory, where no lock is held:
/// sees that something is done if it was too much.
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

/// Above the limit for the first time, all that is free goes back. Where the
/// program stays above it, only what makes a difference does: it would be
/// purging at every span.
fn give_back() {
    if !committed::is_told() || usage::dirty() > committed::limit() / 16 {
        purge::purge_all();
    }
}

/// Allocations do not unwind: at this function's end, a panic of the program's
/// ends the process.
extern "C" fn call_back(bytes: usize) {
    let callback = CALLBACK.load(ordering::limit_callback());
    if !callback.is_null() {
        // SAFETY: what is stored there is a function of this type.
        let callback = unsafe { core::mem::transmute::<*mut (), fn(usize)>(callback) };
        callback(bytes);
    }
}

/// In the child of a fork: nobody else sees to the limit here.
pub(crate) fn after_fork() {
    BUSY.store(false, ordering::lock_release());
}

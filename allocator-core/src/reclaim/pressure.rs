//! Telling the program how much memory there is in its container: on a slow path of one of its
//! threads, or in the thread that it lends.

use crate::base::ordering;
use crate::base::sync::AtomicU8;
use crate::pages::cgroup::{self, Supply};
use crate::reclaim::callback::Callback;

static CALLBACK: Callback<fn(Supply)> = Callback::new();

/// What the program was told last.
static TOLD: AtomicU8 = AtomicU8::new(Supply::Plenty as u8);

/// Sets the function to call when there is more or less memory, in place of the one before. It is
/// told of what it does not know yet.
pub(crate) fn call(callback: fn(Supply)) {
    CALLBACK.set(callback);
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
    let Some(_held) = CALLBACK.begin() else { return };
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
    if let Some(callback) = CALLBACK.get() {
        callback(now);
    }
}

/// In the child of a fork: no other thread tells it.
pub(crate) fn after_fork() {
    CALLBACK.after_fork();
}

//! A stack of our own, for what needs more than the thread of a program may have left:
//! coroutines are at times given 8 KiB. The kernel's files are read there, and reports
//! are written.

use crate::base::lock::Lock;
use crate::sys::{self, Stack};

/// Held by the thread that uses the stack.
static LOCK: Lock = Lock::new();

static STACK: Stack = Stack::new();

/// Calls `f` on our stack, as soon as no other thread uses it. The caller holds no lock.
/// `f` may take locks, as nobody waits for this stack while holding one.
///
/// All signals are blocked meanwhile: a handler has no room on this stack, and if it
/// needed the stack itself, it would wait for its own thread. If the lock refuses, `f`
/// has the caller's stack.
#[inline(never)]
pub(crate) fn run<R>(f: impl FnOnce() -> R) -> R {
    sys::without_signals(|| match LOCK.lock() {
        // SAFETY: [OWN-STACK-LOCKED]; nothing unwinds.
        Some(_held) => unsafe { sys::on_stack(&STACK, f) },
        None => run_here(f),
    })
}

/// Out of line, as its frame is large.
#[cold]
#[inline(never)]
fn run_here<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// In the child of a fork: the thread that used the stack does not exist here.
pub(crate) fn after_fork() {
    if LOCK.is_orphaned() {
        LOCK.force_unlock();
    }
}

//! Stacks of our own, for what needs more than the thread of a program may have left:
//! coroutines are at times given 8 KiB. The kernel's files are read there, and reports
//! are written. Handlers of signals have one for themselves, as they must not wait for the other.

use crate::base::lock::Lock;
use crate::sys::{self, Stack};

/// A stack.
pub(crate) struct OwnStack {
    /// Held by the thread that uses the stack.
    lock: Lock,
    stack: Stack,
}

/// The stack of whoever is outside of a handler of ours.
static COMMON: OwnStack = OwnStack::new();

/// The stack of our handlers.
pub(crate) static FOR_SIGNALS: OwnStack = OwnStack::new();

impl OwnStack {
    const fn new() -> Self {
        OwnStack { lock: Lock::new(), stack: Stack::new() }
    }

    /// Calls `f` on the stack, unless another thread uses it.
    pub(crate) fn try_run<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        sys::without_signals(|| {
            let _held = self.lock.try_lock()?;
            // SAFETY: [OWN-STACK-LOCKED]; nothing unwinds.
            Some(unsafe { sys::on_stack(&self.stack, f) })
        })
    }

    fn after_fork(&self) {
        if self.lock.is_orphaned() {
            self.lock.force_unlock();
        }
    }
}

/// Calls `f` on our stack, as soon as no other thread uses it. The caller holds no lock.
/// `f` may take locks, as nobody waits for this stack while holding one.
///
/// All signals are blocked meanwhile: a handler has no room on this stack, and if it
/// needed the stack itself, it would wait for its own thread. If the lock refuses, `f`
/// has the caller's stack.
#[inline(never)]
pub(crate) fn run<R>(f: impl FnOnce() -> R) -> R {
    sys::without_signals(|| match COMMON.lock.lock() {
        // SAFETY: [OWN-STACK-LOCKED]; nothing unwinds.
        Some(_held) => unsafe { sys::on_stack(&COMMON.stack, f) },
        None => run_here(f),
    })
}

/// Out of line, as its frame is large.
#[cold]
#[inline(never)]
fn run_here<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// In the child of a fork: the thread that used a stack does not exist here.
pub(crate) fn after_fork() {
    COMMON.after_fork();
    FOR_SIGNALS.after_fork();
}

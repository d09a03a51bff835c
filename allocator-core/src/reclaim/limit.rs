//! Enforcement of the soft limit: above it, all free memory is purged. If that is not
//! enough, the program is told, by a callback.

use crate::base::lock::Lock;
use crate::base::sync;
use crate::pages::committed::COMMITTED;
use crate::pages::usage;
use crate::reclaim::callback::Callback;
use crate::reclaim::pressure;
use crate::reclaim::purge;

/// The soft limit is exceeded, for
/// [`Strata::on_limit_exceeded`](crate::Strata::on_limit_exceeded).
///
/// `Display` writes a report for people: the limits, the table of
/// [`Strata::explain`](crate::Strata::explain), with the largest cause in words, and the ten stacks
/// with most memory in use, if the heap profile has any. It allocates nothing, and takes some
/// milliseconds for each GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exceeded {
    /// Committed bytes ([`Stats::committed_bytes`](crate::Stats::committed_bytes)).
    pub committed_bytes: usize,
    /// The soft limit on these.
    pub limit_bytes: usize,
    /// The hard limit on these; 0: there is none.
    pub hard_limit_bytes: usize,
}

static CALLBACK: Callback<fn(usize)> = Callback::new();

/// The function that is told more.
static TOLD_MORE: Callback<fn(&Exceeded)> = Callback::new();

/// Held by the thread that enforces the limit, but not while it tells the program: if the
/// callback leaves by a jump, the limit is still enforced.
static BUSY: Lock = Lock::new();

/// Sets the function to call above the limit, in place of the one before.
pub(crate) fn call(callback: fn(usize)) {
    CALLBACK.set(callback);
}

/// Sets the function that is told more, in place of the one before.
pub(crate) fn call_with_more(callback: fn(&Exceeded)) {
    TOLD_MORE.set(callback);
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
    let Some(_held) = CALLBACK.begin() else { return };
    if COMMITTED.mark_told() {
        call_back(&Exceeded {
            committed_bytes: COMMITTED.bytes(),
            limit_bytes: COMMITTED.limit(),
            hard_limit_bytes: COMMITTED.hard_limit(),
        });
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
    COMMITTED.check_over() || !sync::step("limit_looks_again")
}

/// Purges all free memory. A program that was told and stays above the limit gets that
/// only where it makes a difference: it would purge at every span.
fn give_back() {
    if !COMMITTED.is_told() || usage::dirty() > COMMITTED.limit() / 16 {
        purge::purge_all();
    }
}

/// Allocations do not unwind: a panic of the program's callback ends the process here.
extern "C" fn call_back(exceeded: &Exceeded) {
    if let Some(callback) = CALLBACK.get() {
        callback(exceeded.committed_bytes);
    }
    if let Some(callback) = TOLD_MORE.get() {
        callback(exceeded);
    }
}

/// In the child of a fork: no other thread enforces the limit.
pub(crate) fn after_fork() {
    CALLBACK.after_fork();
    if BUSY.is_orphaned() {
        BUSY.force_unlock();
    }
}

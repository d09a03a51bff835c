//! Telling the program that there was no memory for a request: by its callback. Without one, the
//! first request that the hard limit refuses is reported on standard error.

use core::mem;
use core::ptr;

use crate::base::geometry::CHUNK;
use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicPtr};
use crate::pages::committed::COMMITTED;
use crate::reclaim::purge;

/// A request for which there was no memory, for [`Strata::on_failure`](crate::Strata::on_failure).
///
/// `Display` writes a report for people: the request, the limit, the table of
/// [`Strata::explain`](crate::Strata::explain), and the ten stacks with most memory in use, if the
/// heap profile has any. It allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Bytes that were requested.
    pub size: usize,
    /// Committed bytes ([`Stats::committed_bytes`](crate::Stats::committed_bytes)).
    pub committed_bytes: usize,
    /// The hard limit on these; 0: there is none.
    pub hard_limit_bytes: usize,
}

impl Failure {
    /// Whether the hard limit left no room for the request. Otherwise it was the system that had
    /// none.
    #[must_use]
    pub fn is_at_hard_limit(&self) -> bool {
        // A small request may need a whole chunk.
        let least = self.size.max(CHUNK);
        let room = self.hard_limit_bytes.saturating_sub(self.committed_bytes);
        self.hard_limit_bytes != 0 && room < least
    }
}

/// What is to be called: a `fn(&Failure)`, or null.
static CALLBACK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// What writes the report: a `fn(&Failure)`, or null until the process has begun.
static REPORT: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Whether a report was written.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Held by the thread that tells of a failure, which does not recurse.
static CALLING: Lock = Lock::new();

/// Sets the function to call, in place of the one before.
pub(crate) fn call(callback: fn(&Failure)) {
    CALLBACK.store(callback as *mut (), ordering::failure_callback());
}

/// Sets what writes the report.
pub(crate) fn report_with(report: fn(&Failure)) {
    REPORT.store(report as *mut (), ordering::failure_callback());
}

/// Called at the end of slow paths, where no lock is held, with what a request of `size` bytes is
/// answered by: tells of a null.
#[inline]
pub(crate) fn check(block: *mut u8, size: usize) {
    if block.is_null() {
        tell(size);
    }
}

#[cold]
#[inline(never)]
fn tell(size: usize) {
    // Not in a signal handler that interrupts a purge: the callback runs with no lock held.
    if purge::is_held_here() {
        return;
    }
    let Some(_held) = CALLING.try_lock() else { return };
    let (committed_bytes, hard_limit_bytes) = (COMMITTED.bytes(), COMMITTED.hard_limit());
    let failure = Failure { size, committed_bytes, hard_limit_bytes };
    let callback = CALLBACK.load(ordering::failure_callback());
    if !callback.is_null() {
        call_back(callback, &failure);
    } else if failure.is_at_hard_limit() {
        report(&failure);
    }
}

/// Writes the report, once.
fn report(failure: &Failure) {
    let report = REPORT.load(ordering::failure_callback());
    if !report.is_null() && !REPORTED.swap(true, ordering::failure_reported()) {
        call_back(report, failure);
    }
}

/// Allocations do not unwind: a panic of the program's callback ends the process here.
extern "C" fn call_back(callback: *mut (), failure: &Failure) {
    // SAFETY: only functions of this type are stored.
    let callback = unsafe { mem::transmute::<*mut (), fn(&Failure)>(callback) };
    callback(failure);
}

/// In the child of a fork: no other thread tells of a failure.
pub(crate) fn after_fork() {
    if CALLING.is_orphaned() {
        CALLING.force_unlock();
    }
}

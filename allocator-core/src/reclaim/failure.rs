//! Telling the program that there was no memory for a request: by its callback. Without one, the
//! first request that the hard limit refuses is reported on standard error.

use crate::base::geometry::CHUNK;
use crate::base::ordering;
use crate::base::sync::AtomicBool;
use crate::pages::committed::COMMITTED;
use crate::reclaim::callback::Callback;

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

static CALLBACK: Callback<fn(&Failure)> = Callback::new();

/// What writes the report: none until the process has begun.
static REPORT: Callback<fn(&Failure)> = Callback::new();

/// Whether a report was written.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Sets the function to call, in place of the one before.
pub(crate) fn call(callback: fn(&Failure)) {
    CALLBACK.set(callback);
}

/// Sets what writes the report.
pub(crate) fn report_with(report: fn(&Failure)) {
    REPORT.set(report);
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
    let Some(_held) = CALLBACK.begin() else { return };
    let (committed_bytes, hard_limit_bytes) = (COMMITTED.bytes(), COMMITTED.hard_limit());
    let failure = Failure { size, committed_bytes, hard_limit_bytes };
    if CALLBACK.get().is_some() {
        call_back(&CALLBACK, &failure);
    } else if failure.is_at_hard_limit() {
        report(&failure);
    }
}

/// Writes the report, once.
fn report(failure: &Failure) {
    if REPORT.get().is_some() && !REPORTED.swap(true, ordering::failure_reported()) {
        call_back(&REPORT, failure);
    }
}

/// Allocations do not unwind: a panic of the program's callback ends the process here.
extern "C" fn call_back(callback: &Callback<fn(&Failure)>, failure: &Failure) {
    if let Some(callback) = callback.get() {
        callback(failure);
    }
}

/// In the child of a fork: no other thread tells of a failure.
pub(crate) fn after_fork() {
    CALLBACK.after_fork();
}

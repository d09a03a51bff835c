//! Handlers of signals: of the one that the options choose, on which the process reports; and of
//! `SIGTERM`, where something is printed when the process ends. There is none unless the options
//! ask for it, and none where the signal has another: what the program sets later takes its place.
//!
//! A handler may interrupt whoever holds any lock. So it waits for none.

use core::ffi::c_int;
use core::fmt::Write;

use crate::base::misuse::Line;
use crate::base::ordering;
use crate::base::sync::{self, AtomicBool, AtomicU32};
use crate::process::options;
use crate::reclaim::callback::Callback;
use crate::sys::{self, Signal};

/// Why a handler runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Somebody asks for a report.
    Asked,
    /// The process is about to end.
    Ending,
}

/// What writes the reports: none until the process has begun.
static REPORT: Callback<fn(Occasion)> = Callback::new();

/// Whether the handlers were set, as far as they could be.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Sets what writes the reports.
pub(crate) fn report_with(report: fn(Occasion)) {
    REPORT.set(report);
    install();
}

/// Sets the handlers that the options ask for, once these are known, and there is something that
/// writes.
pub(crate) fn install() {
    let ready = REPORT.get().is_some() && options::are_read();
    if !ready || INSTALLED.swap(true, ordering::handlers_set()) {
        return;
    }
    if options::prints_at_exit() && !sys::handle_signal(Signal::Term, on_end) {
        refused("TERM");
    }
    if let Some((name, signal)) = options::signal()
        && !sys::handle_signal(signal, on_request)
    {
        refused(name);
    }
}

fn refused(signal: &str) {
    if options::is_verbose() {
        let mut line = Line::new();
        let _ = write!(line, "SIG{signal} is ignored, or has a handler: it stays as it is");
        line.print();
    }
}

/// Removes the handlers: the library with their code may be unloaded. Waits for those that run, in
/// whichever thread, but for the few instructions at their ends.
pub(super) fn remove() {
    sys::handle_signal_no_more(Signal::Term, on_end);
    if let Some((_, signal)) = options::signal() {
        sys::handle_signal_no_more(signal, on_request);
    }
    for _ in 0..PATIENCE {
        if RUNNING.load(ordering::handlers_running()) == 0 {
            return;
        }
        sync::nap();
    }
}

/// Handlers that run.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// Milliseconds to wait for them: a thread may be cancelled in one.
const PATIENCE: u32 = 2000;

/// In the child of a fork: no other thread runs one.
pub(crate) fn after_fork() {
    RUNNING.store(0, ordering::handlers_running());
}

extern "C" fn on_request(_: c_int) {
    RUNNING.fetch_add(1, ordering::handlers_running());
    report(Occasion::Asked);
    RUNNING.fetch_sub(1, ordering::handlers_running());
}

/// Reports, and lets the signal do what it would have done.
extern "C" fn on_end(_: c_int) {
    report(Occasion::Ending);
    sys::end_by(Signal::Term);
}

fn report(occasion: Occasion) {
    if let Some(report) = REPORT.get() {
        report(occasion);
    }
}

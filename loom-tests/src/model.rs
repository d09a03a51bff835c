//! Running a model: all its executions, their outcomes, and whether every expected
//! outcome occurred.

use core::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use crate::sites::{self, Site};

/// A protocol with its threads.
pub struct Model {
    /// Its name, for the command line.
    pub name: &'static str,
    /// Most preemptions in an execution; `None`: any number.
    pub preemptions: Option<usize>,
    /// The least number of executions. Fewer mean that loom no longer sees some
    /// interleavings.
    pub executions: usize,
    /// The expected outcomes. All of them must occur, and no other.
    pub outcomes: &'static [&'static str],
    /// One execution.
    pub body: fn(),
}

/// The result of a run of a model.
pub struct Report {
    /// The number of executions.
    pub executions: usize,
    /// Their outcomes.
    pub outcomes: BTreeSet<String>,
    /// The sites that they reached.
    pub sites: BTreeSet<Site>,
}

thread_local! {
    static EXECUTIONS: Cell<usize> = const { Cell::new(0) };
    static OUTCOMES: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    static NOTES: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that something happened in this execution.
pub(crate) fn note(what: &'static str) {
    NOTES.with_borrow_mut(|notes| notes.insert(what));
}

/// Whether something was noted in this execution.
pub(crate) fn noted(what: &str) -> bool {
    NOTES.with_borrow(|notes| notes.contains(what))
}

/// Records the outcome of this execution.
pub(crate) fn outcome(what: impl Into<String>) {
    OUTCOMES.with_borrow_mut(|outcomes| outcomes.insert(what.into()));
}

/// Runs all executions of a model, each of which calls `begin` first, with the active twin if there
/// is one. Panics if one of them fails.
pub(crate) fn run(model: &Model, begin: fn()) -> Report {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = model.preemptions;
    builder.max_branches = 20_000;
    let body = model.body;
    builder.check(move || {
        EXECUTIONS.set(EXECUTIONS.get() + 1);
        NOTES.with_borrow_mut(BTreeSet::clear);
        begin();
        body();
    });
    let sites = sites::take_reached();
    Report { executions: EXECUTIONS.take(), outcomes: OUTCOMES.take(), sites }
}

impl Model {
    /// Checks the outcomes and the number of executions.
    ///
    /// # Panics
    /// If an outcome is missing or unexpected, or there were too few executions.
    pub fn check(&self, report: &Report) {
        let expected: BTreeSet<String> = self.outcomes.iter().map(|&o| o.to_owned()).collect();
        assert_eq!(report.outcomes, expected, "{}: outcomes", self.name);
        assert!(
            report.executions >= self.executions,
            "{}: {} executions, not {}",
            self.name,
            report.executions,
            self.executions
        );
    }
}

//! Running a model: all its executions, what they saw, and whether that was all
//! there is to see.

use core::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// A protocol with its threads.
pub struct Model {
    /// Its name, for the command line.
    pub name: &'static str,
    /// Most preemptions in an execution; `None`: any number.
    pub preemptions: Option<usize>,
    /// It has at least so many executions; fewer say that loom has lost sight
    /// of interleavings.
    pub executions: usize,
    /// Everything that can happen: all of it does, and nothing else.
    pub outcomes: &'static [&'static str],
    /// One execution.
    pub body: fn(),
}

/// What a run of a model came to.
pub struct Report {
    /// How many executions there were.
    pub executions: usize,
    /// What they saw.
    pub outcomes: BTreeSet<String>,
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

/// Says what this execution came to.
pub(crate) fn outcome(what: impl Into<String>) {
    OUTCOMES.with_borrow_mut(|outcomes| outcomes.insert(what.into()));
}

/// Runs all executions of a model, with a twin if there is one. Panics if one
/// of them fails.
pub fn run(model: &Model, twin: Option<(&str, crate::Weakness)>) -> Report {
    if let Some((label, weakness)) = twin {
        crate::twin::activate(label, weakness);
    }
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = model.preemptions;
    builder.max_branches = 20_000;
    let body = model.body;
    builder.check(move || {
        EXECUTIONS.set(EXECUTIONS.get() + 1);
        NOTES.with_borrow_mut(BTreeSet::clear);
        body();
    });
    Report { executions: EXECUTIONS.take(), outcomes: OUTCOMES.take() }
}

impl Model {
    /// Whether the run saw all there is to see.
    ///
    /// # Panics
    /// If it did not.
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

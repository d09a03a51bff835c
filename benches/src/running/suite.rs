//! What a suite says: its rows, their figures, and how a sample is taken.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::allocators::{self, Contender, Interface, Program};
use crate::report::model::Figure;

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) name: String,
    /// Its description.
    pub(crate) what: String,
    /// The rows whose ratios are joined.
    pub(crate) group: &'static str,
    pub(crate) figures: Vec<Figure>,
}

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// In the order of the row's figures; none for what did not happen.
    pub(crate) values: Vec<Option<f64>>,
    /// What the program came to, where that is the same on every allocator.
    pub(crate) result: Option<String>,
}

/// A run that has begun.
pub(crate) enum Visit {
    /// It has ended.
    Over(Sample),
    /// Its process does nothing until then, and is waited for later.
    Asleep {
        /// When it will be done.
        until: Instant,
        /// Waits for its end.
        wake: Box<dyn FnOnce() -> Result<Sample>>,
    },
}

/// How much of its work a suite does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) rounds: usize,
    /// Factor on the counts of a row.
    pub(crate) scale: f64,
}

/// How a suite is run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) interface: Interface,
    pub(crate) amount: Amount,
    pub(crate) quick: bool,
    /// The cargo profile of the subjects.
    pub(crate) profile: String,
    /// The processors of the measured programs; any if empty.
    pub(crate) cpus: Vec<usize>,
    /// Whether system calls are counted, in one more run.
    pub(crate) calls: bool,
    /// The profiles in which instructions are counted.
    pub(crate) profiles: Vec<String>,
    /// The small program that measures others.
    pub(crate) runner: PathBuf,
    /// Directory of inputs and sockets.
    pub(crate) dir: PathBuf,
}

impl Settings {
    /// Time limit of a run that usually takes this long at most.
    pub(crate) fn limit(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds * self.amount.scale.max(1.0))
    }
}

/// Takes the samples of a suite.
pub(crate) trait Sampler {
    /// Finds what a row needs; an error says how to install it.
    fn prepare(&mut self, _row: &Row) -> Result<()> {
        Ok(())
    }

    /// Checks, before the first round, that the row's program uses the allocator.
    fn check(&self, row: &Row, contender: &Contender) -> Result<()>;

    /// Begins a run.
    fn begin(&self, row: &Row, contender: &Contender, round: usize) -> Result<Visit>;

    /// The command whose system calls can be counted, if the row is only that.
    fn command(&self, _row: &Row, _contender: &Contender) -> Option<Command> {
        None
    }

    /// What there is to say after the last round.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A suite.
pub(crate) struct Suite {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it measures, in a line.
    pub(crate) what: &'static str,
    /// What runs on the allocators, if they are linked.
    pub(crate) program: Program,
    /// How its programs can get their allocators; by default in all of these ways.
    pub(crate) interfaces: &'static [Interface],
    /// The allocators by default.
    pub(crate) allocators: fn(Interface, quick: bool) -> Vec<&'static str>,
    /// Every row.
    pub(crate) rows: fn(&Settings) -> Vec<Row>,
    /// Whether a row of this name is in a quick run.
    pub(crate) is_quick: fn(&str) -> bool,
    pub(crate) full: Amount,
    pub(crate) quick: Amount,
    /// The bounds of geometric means, by group.
    pub(crate) mean_bounds: &'static [(&'static str, f64)],
    /// Gets ready to take samples.
    pub(crate) start: fn(&Settings) -> Result<Box<dyn Sampler>>,
}

/// All that are there; in a quick run, of those that have to be built, only what
/// builds quickly.
pub(crate) fn everyone(interface: Interface, quick: bool) -> Vec<&'static str> {
    match interface {
        Interface::Rust if quick => allocators::usual(),
        _ => interface.names(),
    }
}

/// Every row is in a quick run.
pub(crate) fn every(_name: &str) -> bool {
    true
}

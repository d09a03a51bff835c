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

/// How a server is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// Limit of its cache.
    pub(crate) cache_mib: u64,
    /// Its threads; none for as many as processors.
    pub(crate) threads: Option<u64>,
    /// In how many rounds at most; none for all.
    pub(crate) rounds: Option<usize>,
}

impl Serving {
    /// What there is without options.
    pub(crate) const USUAL: Serving = Serving { cache_mib: 64, threads: None, rounds: None };

    /// What there is in a run of all. A cache of 4 GiB takes a minute and a half to fill: it is
    /// filled in one round.
    pub(crate) fn in_all() -> Vec<Serving> {
        let mut all = Serving::all(&[64, 512, 4096], &[2, 8]);
        for serving in &mut all {
            serving.rounds = (serving.cache_mib == 4096).then_some(1);
        }
        all
    }

    /// Each size with each number of threads.
    pub(crate) fn all(sizes: &[u64], threads: &[u64]) -> Vec<Serving> {
        let usual = [Serving::USUAL.cache_mib];
        let sizes = if sizes.is_empty() { &usual } else { sizes };
        let mut counts: Vec<Option<u64>> = threads.iter().copied().map(Some).collect();
        if counts.is_empty() {
            counts.push(Serving::USUAL.threads);
        }
        let of = |cache_mib| counts.iter().map(move |threads| (cache_mib, *threads));
        let all = sizes.iter().flat_map(|size| of(*size));
        all.map(|(cache_mib, threads)| Serving { cache_mib, threads, rounds: None }).collect()
    }

    /// The name of the row.
    pub(crate) fn name(self) -> String {
        let threads = self.threads.map(|threads| format!("-{threads}t")).unwrap_or_default();
        match self.cache_mib {
            mib if mib == Serving::USUAL.cache_mib => format!("orders{threads}"),
            mib => format!("orders-{mib}m{threads}"),
        }
    }
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
    /// How the server is run; in the usual way if empty.
    pub(crate) servers: Vec<Serving>,
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

    /// In how many of these rounds the row is visited.
    fn rounds(&self, _row: &Row, rounds: usize) -> usize {
        rounds
    }

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
    /// Rounds in a run of all, which is to end within two hours.
    pub(crate) in_all: usize,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_has_each_number_of_threads() {
        let names = |sizes: &[u64], threads: &[u64]| {
            Serving::all(sizes, threads).into_iter().map(Serving::name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[], &[]), ["orders"]);
        assert_eq!(
            names(&[64, 512], &[2, 8]),
            ["orders-2t", "orders-8t", "orders-512m-2t", "orders-512m-8t"]
        );
    }

    #[test]
    fn in_a_run_of_all_the_largest_cache_is_filled_once() {
        let rounds = Serving::in_all().into_iter().map(|it| (it.cache_mib, it.rounds));
        let both = |mib, rounds| [(mib, rounds); 2];
        let want = [both(64, None), both(512, None), both(4096, Some(1))].concat();
        assert_eq!(rounds.collect::<Vec<_>>(), want);
    }
}

//! Rows of the page heap: large blocks, memory that is used again for other
//! blocks, and memory that is given back.
//!
//! All blocks come from the `malloc` of the process. Tables of blocks are
//! mapped directly or on stacks where memory is read, and reading does not
//! allocate.

mod run;

mod sizes;
mod stopwatch;

mod drift;
mod failing;
mod growing;
mod growth;
mod idle;
mod lives;
mod phases;
mod stranded;
mod turnover;

use run::Values;

pub use run::Run;

/// A figure of a row. Less is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// Its unit, if it has one.
    pub unit: &'static str,
    /// Smaller values are compared as this one: they differ by chance, or by
    /// less than the readings can tell.
    pub least: f64,
}

const fn figure(name: &'static str, unit: &'static str, least: f64) -> Figure {
    Figure { name, unit, least }
}

const PEAK: Figure = figure("peak", "MiB", 1.0);
const SECONDS: Figure = figure("time", "s", 0.001);

const TIMED: &[Figure] = &[figure("operation", "µs", 0.001), PEAK];
const PHASES: &[Figure] = &[figure("peak / live", "", 1.0), SECONDS];
const DRIFT: &[Figure] =
    &[figure("end / live", "", 1.0), figure("highest / live", "", 1.0), SECONDS];
const GROWING: &[Figure] = &[figure("peak / live", "", 1.0), figure("faults", "", 100.0), SECONDS];
const STRANDED: &[Figure] = &[
    figure("until within", "s", 0.05),
    figure("end over start", "MiB", 1.0),
    figure("most after", "MiB", 1.0),
    PEAK,
];
const IDLE: &[Figure] = &[figure("after 1 s over start", "MiB", 1.0), PEAK];
const FAILING: &[Figure] =
    &[figure("64 MiB refused", "µs", 0.001), figure("64 B refused", "µs", 0.001)];

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its description.
    pub what: &'static str,
    /// Its figures, in order.
    pub figures: &'static [Figure],
    work: fn(&Run) -> Values,
}

impl Row {
    /// Runs it in this process. A figure is none if it did not happen.
    pub fn run(&self, run: &Run) -> Vec<Option<f64>> {
        (self.work)(run)
    }
}

const fn row(
    name: &'static str,
    what: &'static str,
    figures: &'static [Figure],
    work: fn(&Run) -> Values,
) -> Row {
    Row { name, what, figures, work }
}

/// Every row.
pub const ROWS: &[Row] = &[
    row("pairs", "a block of 1.1 to 2 MiB allocated and freed", TIMED, turnover::pairs),
    row("held8", "the oldest of 8 blocks of 5 to 25 MiB replaced", TIMED, turnover::held::<8>),
    row("held20", "the oldest of 20 such blocks replaced", TIMED, turnover::held::<20>),
    row("images", "a block of 3 to 12 MiB, by each of 4 threads", TIMED, turnover::images),
    row("double4m", "realloc from 1 KiB to 4 MiB, doubling", TIMED, growth::doubles_to_4m),
    row("double256m", "realloc from 1 KiB to 256 MiB, doubling", TIMED, growth::doubles_to_256m),
    row("step256m", "realloc to 256 MiB by steps of 1.1 MiB", TIMED, growth::steps_to_256m),
    row("zeroed", "a block of 1.1 to 6 MiB from calloc", TIMED, turnover::zeroed),
    row("phases", "200 MiB of one size, then of the next of 12", PHASES, phases::phases),
    row("growing", "1 GiB in 16 steps of other sizes, nothing freed", GROWING, growing::grow),
    row("lives", "64 MiB that stay, one block in 32", DRIFT, lives::lives),
    row("drift", "64 MiB live, mean size from 32 B to 32 KiB", DRIFT, drift::drift),
    row("stranded", "16 threads exchanged blocks, and park", STRANDED, stranded::parked),
    row("stranded-ended", "the same threads end", STRANDED, stranded::ended),
    row("idle", "2 GiB of 1 KiB to 1 MiB allocated and freed", IDLE, idle::idle),
    row("failing", "a block refused at a limit on addresses", FAILING, failing::failing),
];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_row_has_its_figures() {
        let run = Run { scale: 0.002, watch: Duration::from_millis(10) };
        // That one is tested in a process of its own.
        for row in ROWS.iter().filter(|row| row.name != "failing") {
            let values = row.run(&run);
            assert_eq!(values.len(), row.figures.len(), "{}", row.name);
            assert!(values.iter().flatten().all(|value| value.is_finite()), "{}", row.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (n, row) in ROWS.iter().enumerate() {
            assert!(ROWS[n + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
            assert!(find(row.name).is_some());
        }
        assert!(find("nothing").is_none());
    }
}

//! Programs that this project did not write, taken as crates: each does what
//! the crate is for, with generated input.
//!
//! Everything is allocated by the global allocator of the program. Each is a
//! fixed amount of work from fixed seeds: it returns a checksum over its
//! results, which must be the same everywhere, however threads were scheduled.

mod parts;

mod rust_text;

mod axum;
mod channels;
mod imbl;
mod json;
mod moka;
mod store;
mod syn;
mod tantivy;

/// What a program is used for.
///
/// Settings of the allocator (sizes, bounds, times) are chosen by measuring.
/// Whoever tries many settings on a program and keeps the best has fitted the
/// allocator to that program, and its figures then promise more than other
/// programs will see. So each half has its own use: a setting is chosen on one,
/// and its effect is reported on the other, which had no part in the choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Half {
    /// To choose settings by.
    Tuning,
    /// To report, and never to choose by.
    Reporting,
}

/// A program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its description.
    pub what: &'static str,
    /// What it is used for.
    pub half: Half,
    work: fn(f64) -> u64,
}

impl Program {
    /// Runs the program with `scale` times the usual amount of work; returns
    /// the checksum.
    ///
    /// # Panics
    ///
    /// If a result is wrong, or the system refuses something.
    pub fn run(&self, scale: f64) -> u64 {
        (self.work)(scale)
    }
}

const fn tuning(name: &'static str, what: &'static str, work: fn(f64) -> u64) -> Program {
    Program { name, what, half: Half::Tuning, work }
}

const fn reporting(name: &'static str, what: &'static str, work: fn(f64) -> u64) -> Program {
    Program { name, what, half: Half::Reporting, work }
}

/// Every program.
pub const PROGRAMS: &[Program] = &[
    tuning("axum", "HTTP server over a cache of 64 MiB, 8 clients in the process", axum::run),
    tuning("syn", "Rust sources parsed on 4 threads, some trees held or printed", syn::run),
    tuning("json", "JSON values parsed, changed, printed; the last two held", json::run),
    tuning("store", "key-value store on disk: load, reads, updates, scans", store::run),
    reporting("tantivy", "documents indexed by 2 threads, then searched", tantivy::run),
    reporting("imbl", "persistent maps; snapshots are read and dropped elsewhere", imbl::run),
    reporting(
        "channels",
        "Markdown rendered, then its words counted, by other threads",
        channels::run,
    ),
    reporting("moka", "4 threads on a cache of 200 MiB", moka::run),
];

/// The program of this name.
pub fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test runs all: they are many threads each.
    #[test]
    fn each_sum_is_the_same_in_every_run_and_another_for_other_work() {
        for program in PROGRAMS {
            let sum = program.run(0.002);
            assert_eq!(program.run(0.002), sum, "{}", program.name);
            assert_ne!(program.run(0.006), sum, "{}", program.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (n, program) in PROGRAMS.iter().enumerate() {
            assert!(PROGRAMS[n + 1..].iter().all(|other| other.name != program.name));
            assert!(find(program.name).is_some());
        }
        assert!(find("nothing").is_none());
    }

    #[test]
    fn the_halves_are_equal() {
        let tuning = PROGRAMS.iter().filter(|program| program.half == Half::Tuning);
        assert_eq!(2 * tuning.count(), PROGRAMS.len());
    }
}

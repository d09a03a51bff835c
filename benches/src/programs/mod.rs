//! Programs that this project did not write, taken as crates: each does what
//! the crate is for, with generated input.
//!
//! Everything is allocated by the global allocator of the program. Each is a
//! fixed amount of work from fixed seeds: it returns a checksum over its
//! results, which must be the same everywhere, however threads were scheduled.
//!
//! Their names are always known; they are only built with the feature
//! `programs`.

#[cfg(feature = "programs")]
mod work;

#[cfg(feature = "programs")]
pub use work::run;

/// What a program is used for.
///
/// Settings of the allocator (sizes, bounds, times) are chosen by measuring.
/// Whoever tries many settings on a program and keeps the best has fitted the
/// allocator to that program, and its figures then promise more than other
/// programs will see. So each half has its own use: a setting is chosen on one,
/// and its effect is reported on the other, which had no part in the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// To choose settings by.
    Tuning,
    /// To report, and never to choose by.
    Reporting,
}

impl Half {
    /// Its name in the reports.
    pub fn label(self) -> &'static str {
        match self {
            Half::Tuning => "tuning",
            Half::Reporting => "reporting",
        }
    }
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
}

const fn tuning(name: &'static str, what: &'static str) -> Program {
    Program { name, what, half: Half::Tuning }
}

const fn reporting(name: &'static str, what: &'static str) -> Program {
    Program { name, what, half: Half::Reporting }
}

/// Every program.
pub const PROGRAMS: &[Program] = &[
    tuning("axum", "HTTP server over a cache of 64 MiB, 8 clients in the process"),
    tuning("syn", "Rust sources parsed on 4 threads, some trees held or printed"),
    tuning("json", "JSON values parsed, changed, printed; the last two held"),
    tuning("store", "key-value store on disk: load, reads, updates, scans"),
    reporting("tantivy", "documents indexed by 2 threads, then searched"),
    reporting("imbl", "persistent maps; snapshots are read and dropped elsewhere"),
    reporting("channels", "Markdown rendered, then its words counted, by other threads"),
    reporting("moka", "4 threads on a cache of 200 MiB"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_are_equal() {
        let tuning = PROGRAMS.iter().filter(|program| program.half == Half::Tuning);
        assert_eq!(2 * tuning.count(), PROGRAMS.len());
    }
}

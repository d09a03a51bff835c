//! Small workloads of Rust programs, each of which stresses one thing. All
//! blocks come from the program's global allocator.

mod block;
mod outcome;

mod team;

mod churn;
mod collections;
mod large;
mod sharing;
pub mod scaling;
mod single;
mod threads;

pub use outcome::Outcome;

/// The rows whose ratios are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// One thread allocates and frees.
    OneThread,
    /// Two threads or more.
    Threads,
}

impl Set {
    /// Its name in the reports.
    pub fn label(self) -> &'static str {
        match self {
            Set::OneThread => "one thread",
            Set::Threads => "threads",
        }
    }
}

/// A row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name on the command line.
    pub name: &'static str,
    /// Description of one operation.
    pub what: &'static str,
    /// The set it belongs to.
    pub set: Set,
    work: fn(f64) -> Outcome,
}

impl Row {
    /// Runs it with `scale` times the usual number of operations.
    pub fn run(&self, scale: f64) -> Outcome {
        (self.work)(scale)
    }
}

const fn one(name: &'static str, what: &'static str, work: fn(f64) -> Outcome) -> Row {
    Row { name, what, set: Set::OneThread, work }
}

const fn several(name: &'static str, what: &'static str, work: fn(f64) -> Outcome) -> Row {
    Row { name, what, set: Set::Threads, work }
}

/// Every row, in the order of the report.
pub const ROWS: &[Row] = &[
    one("pair", "a box of 32 B allocated and dropped", single::pair),
    one("pairdyn", "a block of 16..=1024 B, size known at run time", single::pairdyn),
    one("lifo1000", "1,000 boxes of 32 B, youngest dropped first", |s| single::lifo(s, 1000)),
    one("fifo1000", "1,000 boxes of 32 B, oldest dropped first", |s| single::fifo(s, 1000)),
    one("burst20000", "20,000 boxes of 32 B, oldest dropped first", |s| single::fifo(s, 20_000)),
    one("churn100k", "a random one of 100,000 blocks replaced", |s| churn::one(s, 100_000)),
    one("churn1m", "a random one of 1,000,000 blocks replaced", |s| churn::one(s, 1_000_000)),
    one("tear1g-alloc", "a block of 64..=128 B, up to 1 GiB", |s| large::tear(s).0),
    one("tear1g-free", "the same blocks freed in random order", |s| large::tear(s).1),
    one("strings", "a string formatted and dropped", collections::strings),
    one("btree", "an insert into or a removal from a BTreeMap", collections::btree),
    one("hashvec", "a push to a random vector of a HashMap", collections::hashvec),
    one("vecgrow", "a vector pushed from empty to 1 MiB", collections::vecgrow),
    one("bigbuf", "a buffer of 64 or 300 KiB, each page written", large::bigbuf),
    one("huge", "4 MiB, one page written", large::huge),
    one("hugegrow", "a vector extended from empty to 64 MiB", large::hugegrow),
    several("larson", "a block replaced, arrays change hands", churn::larson),
    several("prodcons", "a block allocated by one thread and freed by another", sharing::prodcons),
    several("fshare1", "16 B freed, allocated, written 32 times; 1 each", |s| {
        sharing::fshare(s, 1)
    }),
    several("fshare64", "16 B freed, allocated, written 32 times; 64 each", |s| {
        sharing::fshare(s, 64)
    }),
    several("parked", "foreign blocks freed, own allocated; owner parked", sharing::parked),
    several("threads64", "another thread's block freed, one stored", sharing::threads64),
    several("starts", "a thread: 100 blocks of 16..=1024 B, then its end", threads::starts),
    several("churn2", "a random one of 100,000 own blocks replaced", churn::two),
];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_runs() {
        for row in ROWS {
            let outcome = row.run(0.001);
            assert!(outcome.best_ns > 0.0, "{}", row.name);
            assert!(outcome.best_ns <= outcome.first_ns, "{}", row.name);
            assert!(outcome.rss_kib > 0, "{}", row.name);
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

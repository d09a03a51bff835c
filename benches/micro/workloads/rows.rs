//! The rows, in the order of the report.

/// The geometric mean that a row is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// One thread allocates and frees.
    OneThread,
    /// Two threads or more.
    Threads,
}

impl Set {
    /// Its name in the reports.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Set::OneThread => "one thread",
            Set::Threads => "threads",
        }
    }
}

/// One row of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// The set it belongs to.
    pub(crate) set: Set,
    /// Description of one operation.
    pub(crate) operation: &'static str,
}

const fn one(name: &'static str, operation: &'static str) -> Row {
    Row { name, set: Set::OneThread, operation }
}

const fn threads(name: &'static str, operation: &'static str) -> Row {
    Row { name, set: Set::Threads, operation }
}

/// Every row.
pub(crate) const ROWS: &[Row] = &[
    one("pair", "a box of 32 B allocated and dropped"),
    one("pairdyn", "a block of 16..=1024 B, size known at run time"),
    one("lifo1000", "1,000 boxes of 32 B, youngest dropped first"),
    one("fifo1000", "1,000 boxes of 32 B, oldest dropped first"),
    one("burst20000", "20,000 boxes of 32 B, oldest dropped first"),
    one("churn100k", "a random one of 100,000 blocks replaced"),
    one("churn1m", "a random one of 1,000,000 blocks replaced"),
    one("tear1g-alloc", "a block of 64..=128 B, up to 1 GiB"),
    one("tear1g-free", "the same blocks freed in random order"),
    one("strings", "a string formatted and dropped"),
    one("btree", "an insert into or a removal from a BTreeMap"),
    one("hashvec", "a push to a random vector of a HashMap"),
    one("vecgrow", "a vector pushed from empty to 1 MiB"),
    one("bigbuf", "a buffer of 64 or 300 KiB, each page written"),
    one("huge", "4 MiB, one page written"),
    one("hugegrow", "a vector extended from empty to 64 MiB"),
    threads("larson", "a block replaced, arrays change hands"),
    threads("prodcons", "a block allocated by one thread and freed by another"),
    threads("fshare1", "16 B freed, allocated, written 32 times; 1 each"),
    threads("fshare64", "16 B freed, allocated, written 32 times; 64 each"),
    threads("parked", "foreign blocks freed, own allocated; owner parked"),
    threads("threads64", "another thread's block freed, one stored"),
    threads("churn2", "a random one of 100,000 own blocks replaced"),
];

/// The row of this name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

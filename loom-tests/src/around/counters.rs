//! Replaces the counters for statistics, which decide nothing.

pub(crate) struct Counter;

impl Counter {
    pub(crate) fn add(&self, _more: usize) {}

    pub(crate) fn raise(&self, _least: usize) {}
}

pub(crate) struct Amount;

impl Amount {
    pub(crate) fn add(&self, _blocks: usize, _bytes: usize) {}
}

pub(crate) struct Counters {
    pub(crate) small: Amount,
    pub(crate) large: Amount,
    pub(crate) purges: Counter,
    pub(crate) peak_committed: Counter,
    pub(crate) peak_threads: Counter,
    pub(crate) soft_limit: Counter,
    pub(crate) hard_limit: Counter,
}

pub(crate) static COUNTERS: Counters = Counters {
    small: Amount,
    large: Amount,
    purges: Counter,
    peak_committed: Counter,
    peak_threads: Counter,
    soft_limit: Counter,
    hard_limit: Counter,
};

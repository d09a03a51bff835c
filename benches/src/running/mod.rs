//! Suites, and how they are run.

pub(crate) mod suite;

pub(crate) mod strace;

pub(crate) mod programs;

pub(crate) mod rounds;

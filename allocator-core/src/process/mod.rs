//! What there is once a process: options, set-up, and what a fork leaves.

pub(crate) mod options;
pub(crate) mod config;
pub(crate) mod init;

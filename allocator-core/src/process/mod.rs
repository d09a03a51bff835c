//! What there is once for a process: options, and the initialization with the hooks of fork and exit.

pub(crate) mod options;
pub(crate) mod config;
pub(crate) mod init;

//! What there is once in a process: the options, and the initialization, which registers the hooks
//! of fork and thread exit.

pub(crate) mod options;
pub(crate) mod config;
pub(crate) mod init;

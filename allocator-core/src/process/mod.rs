//! What there is once in a process: the options, and the initialization, which registers the hooks
//! of fork and thread exit, and the handlers of signals. What happens when the library that holds
//! the allocator is unloaded.

mod others;
pub(crate) mod named_file;
pub(crate) mod options;
pub(crate) mod handlers;
pub(crate) mod config;
pub(crate) mod unload;
pub(crate) mod fork_repair;
pub(crate) mod init;

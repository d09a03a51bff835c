//! What is done when too much memory is free, or none is to be had: free pages are purged. Above
//! the soft limit, the program is told, too.

pub(crate) mod purge;
pub(crate) mod callback;
pub(crate) mod pressure;
pub(crate) mod failure;
pub(crate) mod limit;

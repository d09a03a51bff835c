//! What is done when too much memory is committed: free pages are purged, and the program is told.

pub(crate) mod purge;
pub(crate) mod limit;

//! Giving free pages back to the system, and what follows from going above a limit.

pub(crate) mod purge;
pub(crate) mod limit;

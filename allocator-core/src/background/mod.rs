//! What is done while the program does something else: the helper thread, and its searches through
//! spans in use and dense chunks.

pub(crate) mod span_purge;
mod sleepers;
pub(crate) mod huge_page_collapse;
pub(crate) mod last_resort;
pub(crate) mod own_time;
mod helper_state;
pub(crate) mod helper;

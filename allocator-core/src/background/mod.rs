//! What is done while the program does something else: the helper thread and its searches.

mod span_purge;
pub(crate) mod huge_page_collapse;
pub(crate) mod helper;

//! What is done while the program does something else: the helper thread and its searches.

pub(crate) mod holes;
pub(crate) mod dense;
pub(crate) mod helper;

//! Guarded sampling: of each stretch of bytes that the program allocates, one small block stands
//! alone, at the end of pages of its own, between pages without access. What a program does to it
//! that it may not faults, and is reported with the stacks of its allocation and its free. When it
//! is freed its pages have no access, and are the last to be used again.

pub(crate) mod slots;
mod record;
mod report;
pub(crate) mod faults;
pub(crate) mod block;

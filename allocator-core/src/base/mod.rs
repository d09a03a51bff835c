//! What every other folder stands on: the door to atomics and their orderings, bits, what
//! AddressSanitizer knows, constants, size classes, locks and who must not wait for them, a stack
//! of our own, what waits for a lock, and the report of misuse.

pub(crate) mod sync;
pub(crate) mod ordering;
pub(crate) mod bits;
pub(crate) mod shadow;
pub(crate) mod geometry;
pub mod directory;
pub(crate) mod size_class;
pub(crate) mod nested;
pub(crate) mod lock;
pub(crate) mod misuse;
pub(crate) mod own_stack;
pub(crate) mod once;
pub(crate) mod later;
pub(crate) mod published;
pub(crate) mod table;

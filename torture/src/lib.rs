//! Random operations on the allocator, checked against a reference that knows every
//! byte. One engine serves three programs: `soak` draws operations from a seed for
//! minutes or days, the fuzzer in `fuzz/` turns its inputs into operations, and `replay`
//! runs files of such inputs again.
//!
//! The engine itself allocates with the system's allocator, so that it can count what
//! Strata holds, and survives when Strata refuses.

// Ending the process, and saying how to repeat what it did.
pub mod violation;
// Locks, of which ThreadSanitizer is told.
mod locks;
// What blocks are filled with.
mod pattern;
// Threads of the C library: the child of a fork may start them.
mod threads;
// System calls that fail in one thread.
mod filter;
// A fixed program, for a tracer.
pub mod workload;
// What is tested, and what it is expected to count.
pub mod subject;
// Operations, and the bytes that stand for them.
pub mod operation;
// The blocks that are live, and the operations on them.
pub mod world;
// Operations in signal handlers.
mod handler;
// Operations in the child of a fork.
mod child;
// What holds while all threads are stopped.
mod checks;
// Operations one at a time, in several threads.
pub mod lanes;
// Operations at random, in several threads at once.
pub mod soak;
// Inputs in files.
pub mod history;
// Runs and their figures, in a file.
pub mod log;

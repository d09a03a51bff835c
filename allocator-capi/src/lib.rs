//! Strata as a C library: `malloc` and its family for any program on Linux.
//!
//! The crate is the table of symbols and the rules of C: what each function
//! does at its edges, and with `errno`. Blocks come from `allocator-core`.
//!
//! Nothing here needs Rust's standard library, so the library needs the C
//! library alone.

#![no_std]
#![deny(missing_docs)]

#[cfg(not(any(panic = "abort", doc)))]
compile_error!(
    "the C library does not link Rust's standard library, and so cannot unwind: build it in the \
     package's own folder, where .cargo/config.toml sets panic = \"abort\""
);

use core::fmt::Write;

mod errno;

mod symbols;

mod callers;

mod foreign;

mod replaced;

pub mod family;

pub mod sized;

pub mod aliases;

pub mod stats;

pub mod operators;

mod start;

/// Ends the process. The allocator does not panic: this is for the compiler.
#[panic_handler]
fn panicked(info: &core::panic::PanicInfo) -> ! {
    let _ = writeln!(stats::Stderr, "strata: internal error: {info}");
    allocator_sys::abort()
}

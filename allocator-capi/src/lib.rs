//! Strata as a C library: the `malloc` family for any program on Linux.
//!
//! The crate defines the exported symbols and implements the rules of C: edge
//! cases and `errno`. Blocks come from `allocator-core`.
//!
//! The crate does not use Rust's standard library, so the library depends on
//! the C library only.

#![no_std]
#![deny(missing_docs)]

#[cfg(not(any(panic = "abort", doc)))]
compile_error!(
    "the C library does not link Rust's standard library, and so cannot unwind: build it in the \
     package's own folder, where .cargo/config.toml sets panic = \"abort\""
);

use core::fmt::Write;

mod errno;

mod personality;

mod symbol_lookup;

mod replaced;

mod system;

mod own;

mod foreign;

pub mod family;

pub mod sized;

pub mod aliases;

pub mod stats;

mod unwinder;

pub mod control;

mod cxx_runtime;

pub mod operators;

mod start;

/// Ends the process. The allocator does not panic, but the compiler requires a
/// handler.
#[panic_handler]
fn panicked(info: &core::panic::PanicInfo) -> ! {
    let _ = writeln!(stats::Stderr, "strata: internal error: {info}");
    allocator_sys::abort()
}

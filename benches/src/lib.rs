//! Shared by the benchmark programs: the HTTP server that every allocator
//! serves, the load generator, and the counting allocator; the C workloads that
//! run with a preloaded allocator; programs of others; the probes of resident
//! memory and of the page heap; building, running and measuring programs, and
//! statistics.
//!
//! Start with `cargo run --release -p benches`; see `src/main.rs`.

pub mod cargo;
pub mod counting;
pub mod installed;
pub mod measured;
pub mod order;
pub mod process;
pub mod procfs;
pub mod progress;
pub mod scratch;
pub mod stats;
pub mod tables;
pub mod workloads;

pub mod libraries;
pub mod missing;
pub mod preloaded;
pub mod probes;

pub mod pages;

pub mod redis;

pub mod bindings;

pub mod server;

pub mod load;

#[cfg(feature = "programs")]
pub mod programs;

/// Defines a server program: the global allocator and a `main` that serves.
///
/// The last argument is an expression of type `String`: the allocator's version
/// as known to the running program.
#[macro_export]
macro_rules! serve_with {
    ($name:literal, $type:ty, $value:expr, $version:expr) => {
        #[global_allocator]
        static GLOBAL: $type = $value;

        fn main() -> ::std::process::ExitCode {
            $crate::server::main($name, $version, None)
        }
    };
}

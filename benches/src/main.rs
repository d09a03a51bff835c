//! Compares allocators on a real server, one program per allocator.
//!
//! `cargo run --release -p benches` builds the server with each allocator as
//! its global allocator, runs the servers in interleaved rounds with a load
//! generator in a separate process, and reports throughput, latency, CPU time
//! and memory, each with its spread and its ratio to the best peer.

mod orchestrator;

use std::process::ExitCode;

fn main() -> ExitCode {
    match orchestrator::main() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! One real server, once per allocator, side by side.
//!
//! `cargo run --release -p benches` builds the server with each allocator as
//! its global allocator, drives the servers in interleaved rounds from a load
//! generator in a process of its own, and reports speed, latency, processor
//! time and memory, each with its spread and its ratio to the best peer.

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

//! The program that the benchmarks run on each allocator: rows and workloads.
//!
//! `cargo run --release -p benches` builds it for each allocator.

mod allocator;
mod inst;

fn main() -> std::process::ExitCode {
    benches::subject::main(&allocator::chosen(), inst::run)
}

//! The micro benchmarks on snmalloc.

#[path = "../workloads/mod.rs"]
mod workloads;

#[global_allocator]
static GLOBAL: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

fn main() -> std::process::ExitCode {
    workloads::main("snmalloc")
}

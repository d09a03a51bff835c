//! The micro benchmarks on mimalloc 3.

#[path = "../workloads/mod.rs"]
mod workloads;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    workloads::main("mimalloc")
}

//! The micro benchmarks on Strata.

#[path = "../workloads/mod.rs"]
mod workloads;

#[global_allocator]
static GLOBAL: allocator_core::Strata = allocator_core::Strata::new();

fn main() -> std::process::ExitCode {
    workloads::main("strata")
}

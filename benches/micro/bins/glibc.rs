//! The micro benchmarks on the C library's allocator.

#[path = "../workloads/mod.rs"]
mod workloads;

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() -> std::process::ExitCode {
    workloads::main("glibc")
}

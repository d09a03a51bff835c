//! The micro benchmarks on jemalloc.

#[path = "../workloads/mod.rs"]
mod workloads;

#[global_allocator]
static GLOBAL: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    workloads::main("jemalloc")
}

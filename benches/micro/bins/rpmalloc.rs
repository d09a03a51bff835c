//! The micro benchmarks on rpmalloc.

#[path = "../workloads/mod.rs"]
mod workloads;

#[global_allocator]
static GLOBAL: rpmalloc::RpMalloc = rpmalloc::RpMalloc;

fn main() -> std::process::ExitCode {
    workloads::main("rpmalloc")
}

//! The micro benchmarks on TCMalloc.

#[path = "../workloads/mod.rs"]
mod workloads;

#[global_allocator]
static GLOBAL: tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc;

fn main() -> std::process::ExitCode {
    workloads::main("tcmalloc")
}

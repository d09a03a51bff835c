//! The probes on the C library's allocator, or on a preloaded one.

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() -> std::process::ExitCode {
    benches::probes::main("glibc")
}

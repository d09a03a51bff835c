//! The probes on the C library's allocator, or one that is preloaded.

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() -> std::process::ExitCode {
    benches::probes::main("glibc")
}

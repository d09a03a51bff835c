//! The probes on Strata.

#[global_allocator]
static GLOBAL: allocator_core::Strata = allocator_core::Strata::new();

fn main() -> std::process::ExitCode {
    benches::probes::main("strata")
}

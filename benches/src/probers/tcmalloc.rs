//! The probes on TCMalloc.

#[global_allocator]
static GLOBAL: tcmalloc_better::TCMalloc = tcmalloc_better::TCMalloc;

fn main() -> std::process::ExitCode {
    benches::probes::main("tcmalloc")
}

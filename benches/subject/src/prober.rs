//! The probes of resident memory on each allocator. They are a program of their
//! own, as small as can be: its pages are part of each reading.

mod allocator;

allocator::allocator!();

fn main() -> std::process::ExitCode {
    benches::subject::probe(&ALLOCATOR)
}

//! The server on each allocator. It is a program of its own, as its libraries
//! would add a megabyte to the memory of every other.

mod allocator;

allocator::allocator!();

fn main() -> std::process::ExitCode {
    benches::subject::serve(&ALLOCATOR)
}

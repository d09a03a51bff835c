//! The programs of others on each allocator. They bring a hundred crates, so
//! they are built only with the feature `programs`.

mod allocator;

allocator::allocator!();

fn main() -> std::process::ExitCode {
    benches::subject::program(&ALLOCATOR)
}

//! The server with a counting allocator: for statistics about the load, not for
//! timings.

use benches::counting::{Counting, counts};

#[global_allocator]
static GLOBAL: Counting = Counting;

fn main() -> std::process::ExitCode {
    benches::server::main("count", String::from("counting"), Some(counts))
}

//! The smallest program with Strata. It prints how much memory it has.

#[path = "hello/say.rs"]
mod say;

#[global_allocator]
static GLOBAL: allocator_core::Strata = allocator_core::Strata::new();

fn main() {
    say::hello();
}

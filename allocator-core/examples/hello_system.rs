//! The smallest program with the system's allocator. It prints how much memory it has.

#[path = "hello/say.rs"]
mod say;

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() {
    say::hello();
}

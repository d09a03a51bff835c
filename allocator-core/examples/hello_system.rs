//! The smallest program on the system's allocator; it says how much memory it
//! has.

#[path = "hello/say.rs"]
mod say;

#[global_allocator]
static GLOBAL: std::alloc::System = std::alloc::System;

fn main() {
    say::hello();
}

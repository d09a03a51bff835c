//! A program that loses blocks, for tools to find. With the feature `system` they do:
//! `cargo build -p allocator-core --features system --example leaking`

use std::alloc::{Layout, alloc, alloc_zeroed};
use std::hint::black_box;
use std::mem;

use allocator_core::Strata;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

#[inline(never)]
fn loses_a_vector(bytes: usize) {
    mem::forget(black_box(vec![1_u8; bytes]));
}

#[inline(never)]
fn loses_a_string(bytes: usize) {
    let mut text = String::from("grown");
    text.extend(std::iter::repeat_n('x', bytes));
    mem::forget(black_box(text));
}

#[inline(never)]
fn loses_aligned(bytes: usize) {
    let layout = Layout::from_size_align(bytes, 256).unwrap();
    // SAFETY: the size is not 0.
    black_box(unsafe { (alloc(layout), alloc_zeroed(layout)) });
}

fn main() {
    for bytes in [100, 5000, 100_000] {
        loses_a_vector(bytes);
        loses_a_string(bytes);
        loses_aligned(bytes);
        drop(black_box((vec![0_u64; bytes], Box::new(bytes), "freed".repeat(bytes))));
    }
    let mut stack = [0_u8; 16 << 10];
    black_box(&mut stack);
    println!("live: {}", Strata::stats().live_bytes());
}

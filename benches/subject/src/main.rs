//! The program that the benchmarks run on each allocator: rows and workloads.
//!
//! `cargo run --release -p benches` builds it for each allocator.
//!
//! What is counted by instructions is here, beside the allocator's `static`:
//! allocation and deallocation as separate functions, under names that a
//! disassembler finds, and loops that call them.

mod allocator;

use std::hint::black_box;
use std::mem::ManuallyDrop;

allocator::allocator!();

type Four = [u64; 4];

// SAFETY: no other symbol of the program has this name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn box_new() -> *mut Four {
    Box::into_raw(Box::new([0; 4]))
}

/// # Safety
///
/// `ptr` comes from `box_new` and is dropped once.
// SAFETY: no other symbol of the program has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn box_drop(ptr: *mut Four) {
    // SAFETY: the caller guarantees it.
    drop(unsafe { Box::from_raw(ptr) });
}

// SAFETY: no other symbol of the program has this name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn vec_with_capacity(capacity: usize) -> *mut u8 {
    ManuallyDrop::new(Vec::with_capacity(capacity)).as_mut_ptr()
}

/// # Safety
///
/// `ptr` comes from `vec_with_capacity` with this capacity and is dropped once.
// SAFETY: no other symbol of the program has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn vec_drop(ptr: *mut u8, capacity: usize) {
    // SAFETY: the caller guarantees it.
    drop(unsafe { Vec::from_raw_parts(ptr, 0, capacity) });
}

fn pair(rounds: usize) {
    for _ in 0..rounds {
        let ptr = box_new();
        // SAFETY: just allocated.
        unsafe { box_drop(ptr) };
    }
}

fn vector(rounds: usize) {
    let capacity = black_box(100);
    for _ in 0..rounds {
        let ptr = vec_with_capacity(capacity);
        // SAFETY: just allocated with this capacity.
        unsafe { vec_drop(ptr, capacity) };
    }
}

fn lifo(rounds: usize, live: usize) {
    let mut blocks = vec![std::ptr::null_mut(); live];
    for _ in 0..rounds {
        for block in &mut blocks {
            *block = box_new();
        }
        for block in blocks.iter().rev() {
            // SAFETY: allocated above and dropped once.
            unsafe { box_drop(*block) };
        }
    }
}

fn fifo(rounds: usize, live: usize) {
    let mut blocks = vec![std::ptr::null_mut(); live];
    for _ in 0..rounds {
        for block in &mut blocks {
            *block = box_new();
        }
        for block in &blocks {
            // SAFETY: allocated above and dropped once.
            unsafe { box_drop(*block) };
        }
    }
}

/// Runs the loop of this name, if there is one.
fn inst(name: &str, rounds: usize) -> Option<()> {
    // Taking their addresses makes the functions keep their signatures.
    black_box((
        box_new as extern "C" fn() -> *mut Four,
        box_drop as unsafe extern "C" fn(*mut Four),
        vec_with_capacity as extern "C" fn(usize) -> *mut u8,
        vec_drop as unsafe extern "C" fn(*mut u8, usize),
    ));
    match name {
        "pair" => pair(rounds),
        "vector" => vector(rounds),
        "lifo1000" => lifo(rounds, 1000),
        "fifo1000" => fifo(rounds, 1000),
        "burst20000" => fifo(rounds, 20_000),
        _ => return None,
    }
    Some(())
}

fn main() -> std::process::ExitCode {
    benches::subject::main(&ALLOCATOR, inst)
}

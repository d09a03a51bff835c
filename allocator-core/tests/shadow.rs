//! In a build for AddressSanitizer, what a program does to memory that it does not have is
//! found, wherever that memory is.
#![cfg(strata_asan)]

mod common;

use allocator_core::Strata;
use common::layout;
use std::alloc::GlobalAlloc;

static ALLOCATOR: Strata = Strata::new();

/// A size class, a page run, and a huge block; not whole multiples of what they are rounded to.
const SIZES: [usize; 3] = [100, 100_001, 3_000_001];

fn allocate(size: usize) -> *mut u8 {
    // SAFETY: the size is not 0.
    let block = unsafe { ALLOCATOR.alloc(layout(size, 8)) };
    assert!(!block.is_null());
    // SAFETY: the block has so many bytes.
    unsafe { block.write_bytes(1, size) };
    block
}

fn free(block: *mut u8, size: usize) {
    // SAFETY: it was made with this layout.
    unsafe { ALLOCATOR.dealloc(block, layout(size, 8)) };
}

/// A mistake of a program with a block of `size` bytes.
fn mistake(name: &str, size: usize) {
    let block = allocate(size);
    // SAFETY: none: that is the point. The sanitizer ends the process here.
    unsafe {
        match name {
            "after_free" => {
                free(block, size);
                block.add(size / 2).read_volatile();
            }
            "behind" => {
                block.add(size).write_volatile(1);
            }
            // Nobody has ever had it.
            "neighbour" => {
                block.add(size.next_multiple_of(4096)).read_volatile();
            }
            "after_shrink" => {
                let less = ALLOCATOR.realloc(block, layout(size, 8), size - 5);
                less.add(size - 2).read_volatile();
            }
            "after_move" => {
                // It cannot grow where it is.
                let behind = allocate(size);
                let moved = ALLOCATOR.realloc(block, layout(size, 8), size * 40);
                assert_ne!(moved, block);
                block.read_volatile();
                free(behind, size);
            }
            // What the allocator has seen as well.
            "none" => {
                let moved = ALLOCATOR.realloc(block, layout(size, 8), size * 40);
                moved.add(size * 40 - 1).write_volatile(1);
                free(moved, size * 40);
                let zeroed = ALLOCATOR.alloc_zeroed(layout(size, 8));
                assert!(common::is_zero(zeroed, size));
                free(zeroed, size);
                Strata::purge();
            }
            other => panic!("{other}?"),
        }
    }
}

#[test]
fn mistakes_are_found() {
    for size in SIZES {
        for name in ["after_free", "behind", "neighbour", "after_shrink", "after_move"] {
            let ended = common::run(&format!("{name} {size}"));
            let found = ended.err.contains("AddressSanitizer: use-after-poison");
            assert!(!ended.ok && found, "{name} of {size}:\n{}{}", ended.out, ended.err);
        }
        common::succeeds(&format!("none {size}"));
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    let (name, size) = case.split_once(' ').unwrap();
    mistake(name, size.parse().unwrap());
    common::at_end();
}

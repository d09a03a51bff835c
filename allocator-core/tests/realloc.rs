//! `realloc` keeps the contents of a block, whether it moves or not. If it fails, the
//! block is unchanged.

mod common;

use allocator_core::Strata;
use common::{fill, is_filled, layout};
use std::alloc::GlobalAlloc;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const SIZES: [usize; 31] = [
    1,
    8,
    9,
    16,
    24,
    56,
    57,
    100,
    256,
    257,
    1000,
    1024,
    1025,
    5000,
    16 << 10,
    (16 << 10) + 1,
    17_000,
    24 << 10,
    32 << 10,
    (32 << 10) + 1,
    36 << 10,
    100_000,
    500_000,
    1 << 20,
    (1 << 20) + 1,
    (1 << 20) + 5000,
    2 << 20,
    (2 << 20) + 1,
    5 << 20,
    9 << 20,
    33 << 20,
];

/// Reallocates a block of `old` bytes to `new` bytes. Returns its address before and
/// after. The blocks on both sides are unchanged.
fn from_to(old: usize, new: usize, align: usize) -> (usize, usize) {
    let before = layout(old, align);
    let after = layout(new, align);
    // SAFETY: the sizes are not 0; the blocks are ours and that large.
    unsafe {
        let blocks: Vec<_> = (0..3).map(|_| GLOBAL.alloc(before)).collect();
        for (n, block) in blocks.iter().enumerate() {
            assert!(!block.is_null());
            fill(*block, old, n as u64 + 1);
        }
        let moved = GLOBAL.realloc(blocks[1], before, new);
        assert!(!moved.is_null() && moved.addr() % align == 0, "{old} to {new}, {align}");
        assert!(is_filled(moved, old.min(new), 2), "{old} to {new}, {align}: contents");
        fill(moved, new, 9);
        for n in [0, 2] {
            assert!(
                is_filled(blocks[n], old, n as u64 + 1),
                "{old} to {new}: another block changed"
            );
        }
        assert!(is_filled(moved, new, 9), "{old} to {new}, {align}: it overlaps another block");
        GLOBAL.dealloc(blocks[0], before);
        GLOBAL.dealloc(moved, after);
        GLOBAL.dealloc(blocks[2], before);
        (blocks[1].addr(), moved.addr())
    }
}

#[test]
fn every_size_to_every_other() {
    for old in SIZES {
        for new in SIZES {
            // The largest ones are slow to fill, so only some pairs are tried.
            if old.max(new) > 5 << 20 && old.min(new) > 100 && old.min(new) < 1 << 20 {
                continue;
            }
            for align in [1, 16, 64, 8192] {
                from_to(old, new, align);
            }
        }
    }
    for align in [1 << 20, 4 << 20, 64 << 20] {
        for (old, new) in [(100, 200), (100, 3 << 20), (3 << 20, 9 << 20), (9 << 20, 100)] {
            from_to(old, new, align);
        }
    }
}

/// A block does not move while it fits into its size class or its pages.
#[test]
fn a_block_stays_where_it_fits() {
    let classes: Vec<usize> =
        Strata::stats().classes().iter().map(|class| class.block_bytes()).collect();
    for pair in classes.windows(2) {
        for (old, new) in [(pair[0] + 1, pair[1]), (pair[1], pair[0] + 1), (pair[1], pair[1])] {
            let (was, is) = from_to(old, new, 8);
            assert_eq!(was, is, "{old} to {new}");
        }
    }
    let page = 4096;
    for size in [40 << 10, 100 * page, 256 * page] {
        for new in [size - 1, size - page + 1, size] {
            let (was, is) = from_to(size, new, 8);
            assert_eq!(was, is, "{size} to {new}");
        }
    }
    // Page runs and huge blocks that shrink do not move either.
    for (old, new) in [(200_000, 50_000), (1 << 20, 33 << 10), (9 << 20, 2 << 20)] {
        let (was, is) = from_to(old, new, 8);
        assert_eq!(was, is, "{old} to {new}");
    }
}

/// A block grows in small steps, as a vector does, through every kind of block.
#[test]
fn growing_step_by_step() {
    let mut size = 1;
    // SAFETY: the sizes are not 0; the block is ours and that large.
    unsafe {
        let mut block = GLOBAL.alloc(layout(size, 8));
        fill(block, size, 5);
        while size < 40 << 20 {
            let new = size + size / 3 + 1;
            block = GLOBAL.realloc(block, layout(size, 8), new);
            assert!(!block.is_null() && is_filled(block, size, 5), "{size} to {new}");
            fill(block, new, 5);
            size = new;
        }
        while size > 1 {
            let new = size - size / 3 - 1;
            if new == 0 {
                break;
            }
            block = GLOBAL.realloc(block, layout(size, 8), new);
            assert!(!block.is_null() && is_filled(block, new, 5), "{size} to {new}");
            size = new;
        }
        GLOBAL.dealloc(block, layout(size, 8));
    }
}

/// Huge blocks are never copied: growing one takes only the new memory.
fn huge_blocks_move_by_their_pages() {
    let limit = 1 << 30;
    limit_addresses(limit);
    // SAFETY: the sizes are not 0; the blocks are ours and that large.
    unsafe {
        let mut size = 300 << 20;
        let mut block = GLOBAL.alloc(layout(size, 8));
        assert!(!block.is_null());
        fill(block, size, 3);
        // A block behind it, so that it cannot grow in place.
        let wall = GLOBAL.alloc(layout(2 << 20, 8));
        assert!(!wall.is_null());
        // A heap that large gets huge pages, one at a time, which splits the mapping meanwhile.
        for _ in 0..200 {
            if common::in_huge_pages() != 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for _ in 0..3 {
            let before = common::anonymous();
            let new = size + (2 << 20);
            block = GLOBAL.realloc(block, layout(size, 8), new);
            assert!(!block.is_null() && is_filled(block, size, 3));
            let after = common::anonymous();
            assert!(after < before + (4 << 20), "it was copied: {before} to {after}");
            fill(block, new, 3);
            size = new;
        }
        GLOBAL.dealloc(block, layout(size, 8));
        GLOBAL.dealloc(wall, layout(2 << 20, 8));
    }
}

fn limit_addresses(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the limit is a valid one.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

/// A size that cannot be served is refused, and the block is unchanged.
fn refused() {
    limit_addresses(500 << 20);
    for old in [8, 100, 5000, 40 << 10, 500_000, 3 << 20, 20 << 20] {
        for new in [600 << 20, 1 << 40, isize::MAX as usize - 64] {
            for align in [8, 64] {
                let before = layout(old, align);
                // SAFETY: the sizes are not 0; the block is ours and that large.
                unsafe {
                    let block = GLOBAL.alloc(before);
                    fill(block, old, 4);
                    assert!(GLOBAL.realloc(block, before, new).is_null(), "{old} to {new}");
                    assert!(is_filled(block, old, 4), "{old} to {new}: changed");
                    let other = GLOBAL.realloc(block, before, old * 2);
                    assert!(!other.is_null() && is_filled(other, old, 4));
                    GLOBAL.dealloc(other, layout(old * 2, align));
                }
            }
        }
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "moves" => huge_blocks_move_by_their_pages(),
        "refused" => refused(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn huge_blocks_are_not_copied() {
    common::succeeds("moves");
}

#[test]
fn a_block_that_cannot_grow_is_unchanged() {
    common::succeeds("refused");
}

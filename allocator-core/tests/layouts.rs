//! Every layout gets a block that is aligned, large enough, disjoint from all other
//! blocks, and zero if requested; or null, if the layout cannot be served.

mod common;

use allocator_core::Strata;
use common::{Block, fill, is_filled, is_zero, layout};
use std::alloc::{GlobalAlloc, Layout};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Sizes at and next to every boundary: of size classes, of kinds of blocks, of
/// pages and of chunks.
fn sizes() -> Vec<usize> {
    let classes: Vec<usize> =
        Strata::stats().classes().iter().map(|class| class.block_bytes()).collect();
    let large = [36 << 10, 64 << 10, 100_000, 512 << 10, 1 << 20, 2 << 20, 3 << 20];
    let mut sizes: Vec<usize> = classes
        .into_iter()
        .chain(large)
        .flat_map(|size| [size - 1, size, size + 1])
        .chain(1..=16)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Allocates adjacent blocks of one layout, fills each completely, then checks all.
fn adjacent(size: usize, align: usize, count: usize) {
    let layout = layout(size, align);
    // SAFETY: the size is not 0; the blocks are ours and that large.
    unsafe {
        let blocks: Vec<_> = (0..count).map(|_| GLOBAL.alloc(layout)).collect();
        for (n, block) in blocks.iter().enumerate() {
            assert!(!block.is_null(), "{layout:?}");
            assert_eq!(block.addr() % align, 0, "{layout:?}");
            fill(*block, size, (n * 7 + size) as u64);
        }
        for (n, block) in blocks.iter().enumerate() {
            assert!(is_filled(*block, size, (n * 7 + size) as u64), "{layout:?} overlaps");
        }
        blocks.iter().for_each(|block| GLOBAL.dealloc(*block, layout));
    }
}

#[test]
fn all_sizes_and_alignments_are_served() {
    for size in sizes() {
        for log in 0..=16 {
            let count = if size + (1 << log) < 4096 { 40 } else { 4 };
            adjacent(size, 1 << log, count);
        }
    }
}

/// Alignments up to 1 GiB. Only a few bytes of each block are written.
#[test]
fn alignments_up_to_a_gibibyte_are_served() {
    for log in 12..=30 {
        for size in [1, 24, 4096, 40_000, 1 << 20, (1 << 20) + 1, 5 << 20] {
            let blocks: Vec<_> =
                (0..3).map(|_| Block::new(&GLOBAL, size, 1 << log).unwrap()).collect();
            for (n, block) in blocks.iter().enumerate() {
                assert_eq!(block.ptr.addr() % (1 << log), 0, "{size} bytes, 2^{log}");
                for other in &blocks[..n] {
                    assert!(other.ptr.addr().abs_diff(block.ptr.addr()) >= size);
                }
            }
            blocks.into_iter().for_each(|block| block.free(&GLOBAL));
        }
    }
}

#[test]
fn larger_alignments_are_refused() {
    for log in 31..=62 {
        for size in [1, 5000, 5 << 20] {
            let layout = layout(size, 1 << log);
            // SAFETY: the size is not 0.
            unsafe {
                assert!(GLOBAL.alloc(layout).is_null(), "{layout:?}");
                assert!(GLOBAL.alloc_zeroed(layout).is_null(), "{layout:?}");
            }
        }
    }
}

/// Blocks are written, freed, perhaps purged, and allocated again as zeroed.
#[test]
fn zeroed_is_zero_after_dirt() {
    for size in sizes() {
        for align in [1, 64, 4096] {
            let layout = layout(size, align);
            let count = (200_000 / size).clamp(2, 200);
            for round in 0..3 {
                // SAFETY: the size is not 0; the blocks are ours and that large.
                unsafe {
                    let blocks: Vec<_> = (0..count).map(|_| GLOBAL.alloc(layout)).collect();
                    blocks.iter().for_each(|block| block.write_bytes(0xa5, size));
                    blocks.iter().for_each(|block| GLOBAL.dealloc(*block, layout));
                    if round == 1 {
                        Strata::purge();
                    }
                    let blocks: Vec<_> = (0..count).map(|_| GLOBAL.alloc_zeroed(layout)).collect();
                    for block in &blocks {
                        assert!(is_zero(*block, size), "{layout:?}, round {round}");
                    }
                    blocks.iter().for_each(|block| block.write_bytes(0xa5, size));
                    blocks.iter().for_each(|block| GLOBAL.dealloc(*block, layout));
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_is_null() {
    let most = isize::MAX as usize;
    for log in 0..=40 {
        let align = 1usize << log;
        for below in [0, 1, 4095, 4096, 2 << 20, 1 << 40] {
            let size = (most - below) & !(align - 1);
            let Ok(layout) = Layout::from_size_align(size, align) else { continue };
            // SAFETY: the size is not 0; null is expected.
            unsafe {
                assert!(GLOBAL.alloc(layout).is_null(), "{layout:?}");
                assert!(GLOBAL.alloc_zeroed(layout).is_null(), "{layout:?}");
            }
        }
    }
    // Alignments larger than the window.
    for log in 41..=62 {
        // SAFETY: the size is not 0.
        assert!(unsafe { GLOBAL.alloc(layout(64, 1 << log)) }.is_null(), "2^{log}");
    }
    for size in [most, most - 1, most / 2, 1 << 47, 1 << 42] {
        let mut bytes: Vec<u8> = Vec::new();
        assert!(bytes.try_reserve(size).is_err(), "{size}");
        let mut bytes = vec![7u8; 1000];
        assert!(bytes.try_reserve_exact(size - 1000).is_err(), "{size}");
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}

/// A block takes no more than its size class, or whole pages. An alignment adds at
/// most its own value.
fn waste() {
    let measure = |size: usize, align: usize| {
        let before = Strata::stats().live_bytes();
        let block = Block::new(&GLOBAL, size, align).unwrap();
        let taken = Strata::stats().live_bytes() - before;
        block.free(&GLOBAL);
        taken
    };
    for size in sizes() {
        for log in 0..=20 {
            let (align, taken) = (1usize << log, measure(size, 1 << log));
            assert!(taken >= size, "{size}, 2^{log}: {taken}");
            let eighth = if size <= 32 << 10 { (size / 8).max(16) } else { 4096 };
            let most = size.next_multiple_of(align) + eighth.max(align);
            assert!(taken <= most, "{size}, 2^{log}: {taken} bytes");
        }
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    assert_eq!(case, "waste");
    // The test harness has a thread of its own, which is idle soon.
    std::thread::sleep(std::time::Duration::from_millis(100));
    waste();
    common::at_end();
}

#[test]
fn an_alignment_wastes_no_more_than_itself() {
    common::succeeds("waste");
}

//! Hardened mode: stocks that nobody empties, and what is held back near a limit. No block is
//! made in the usual way before, as free memory is zero in this mode.

use crate::base::size_class;
use crate::hardened::blocks::{self, Kind, Mode, Said};
use crate::pages::held_back;
use crate::strata::Strata;
use crate::sys;
use crate::thread::stock::{self, Given};

fn alloc(size: usize) -> *mut u8 {
    blocks::alloc(size, 8, Kind::Malloc, Mode::Hardened)
}

fn free(block: *mut u8) {
    let said = Said { kind: Kind::Malloc, size: None, align: None };
    assert!(blocks::free(block, said, Mode::Hardened), "it is ours");
}

/// The thread that is told that a stock is full may come late, or to another stock.
pub(crate) fn nobody_puts_back() {
    const BYTES: usize = 64;
    let class = size_class::of(BYTES, 8);
    let blocks: Vec<_> = (0..400).map(|_| alloc(BYTES - 8)).collect();
    let mut refused = 0;
    for block in blocks {
        // SAFETY: the block is ours, and has so many bytes.
        unsafe { block.write_bytes(0, BYTES) };
        if let Given::Refused = stock::give(block, class) {
            stock::put_back(block, class);
            refused += 1;
        }
    }
    assert!(refused > 200, "two piles have no room for that many: {refused}");
}

/// Freed huge blocks are counted while they are held back, and have no memory.
pub(crate) fn what_is_held_back_is_counted() {
    const BYTES: usize = 6 << 20;
    free(alloc(100));
    let committed = sys::committed_bytes();
    let blocks: Vec<_> = (0..40).map(|_| alloc(BYTES - 100)).collect();
    for (n, block) in blocks.into_iter().enumerate() {
        free(block);
        assert_eq!(held_back::held(), ((n + 1).min(32), (n + 1).min(32) * BYTES));
    }
    assert!(held_back::free_all());
    assert_eq!(held_back::held(), (0, 0));
    assert!(!held_back::free_all());
    Strata::purge();
    assert!(sys::committed_bytes() <= committed + (4 << 20));
}

/// Freed blocks that are held back count as committed, until there is need.
pub(crate) fn what_is_held_back_makes_room() {
    Strata::set_hard_limit(64 << 20);
    for _ in 0..40 {
        let block = alloc(6 << 20);
        assert!(!block.is_null(), "all of the limit is free");
        free(block);
    }
    for size in [40, 40 << 10] {
        let blocks: Vec<_> = (0..(40 << 20) / size).map(|_| alloc(size)).collect();
        assert!(blocks.iter().all(|block| !block.is_null()), "{size} bytes were refused");
        blocks.into_iter().for_each(free);
        Strata::purge();
    }
}

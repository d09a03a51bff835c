//! Hardened mode: stocks that nobody empties, and what is held back near a limit. No block is
//! made in the usual way before, as free memory is zero in this mode.

use crate::base::size_class;
use crate::hardened::blocks::{self, Kind, Mode, Said};
use crate::strata::Strata;
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

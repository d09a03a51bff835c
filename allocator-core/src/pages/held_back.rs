//! Freed huge blocks that hardened mode holds back: without access and without memory, so that
//! whoever still uses one faults, and its addresses have no new user soon. The last few are here;
//! the oldest makes room for the next.

use core::ptr;

use crate::base::directory::{self, Address};
use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicU32, AtomicUsize};
use crate::pages::counters::COUNTERS;
use crate::pages::huge_block;
use crate::sys;

/// Most blocks that are held back.
const MOST: usize = 32;

static BLOCKS: [AtomicPtr<u8>; MOST] = [const { AtomicPtr::new(ptr::null_mut()) }; MOST];
/// Counts the blocks so far.
static TURN: AtomicU32 = AtomicU32::new(0);
/// The blocks that are held back, and their bytes.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Where the counts are, for readers outside of the process.
pub(crate) const fn places() -> directory::HeldBack {
    directory::HeldBack {
        blocks: Address::of(&raw const COUNT),
        bytes: Address::of(&raw const BYTES),
    }
}

/// Number and bytes of the blocks that are held back.
pub(crate) fn held() -> (usize, usize) {
    (COUNT.load(ordering::held_back()), BYTES.load(ordering::held_back()))
}

/// Holds back a huge block of `bytes`, and frees the oldest. One that cannot be made
/// inaccessible is freed at once.
///
/// # Safety
/// Nobody uses the block.
pub(crate) unsafe fn put(block: *mut u8, bytes: usize) {
    // SAFETY: by the caller.
    unsafe {
        if !sys::purge(block, bytes) {
            // Free memory is zero in hardened mode.
            block.write_bytes(0, bytes);
            return free(block);
        }
        if !sys::protect(block, bytes) {
            return free(block);
        }
    }
    COUNT.fetch_add(1, ordering::held_back());
    BYTES.fetch_add(bytes, ordering::held_back());
    let turn = TURN.fetch_add(1, ordering::held_back()) as usize;
    let_go(BLOCKS[turn % MOST].swap(block, ordering::held_back()));
}

/// Whether a block is held back.
pub(crate) fn has(block: *mut u8) -> bool {
    BLOCKS.iter().any(|place| place.load(ordering::held_back()) == block)
}

/// Frees all blocks that are held back. Returns whether there were any.
pub(crate) fn free_all() -> bool {
    BLOCKS.iter().fold(false, |any, place| {
        let block = place.swap(ptr::null_mut(), ordering::held_back());
        let_go(block);
        any || !block.is_null()
    })
}

/// Frees a block that was held back, unless it is null.
fn let_go(block: *mut u8) {
    if !block.is_null() {
        COUNT.fetch_sub(1, ordering::held_back());
        BYTES.fetch_sub(huge_block::bytes_at(block), ordering::held_back());
        free(block);
    }
}

/// Frees a block. It stays as it is if the system gives no access to it:
/// whoever got its addresses would fault.
fn free(block: *mut u8) {
    let bytes = huge_block::bytes_at(block);
    // SAFETY: nobody uses the block.
    if unsafe { sys::commit(block, bytes) } {
        let freed = huge_block::put(block, bytes);
        COUNTERS.large_freed.add(usize::from(freed));
    }
}

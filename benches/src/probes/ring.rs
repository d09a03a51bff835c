//! A bounded ring between two threads. It is not allocated on the heap but on a
//! stack.

use std::hint::spin_loop;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::thread::yield_now;

use super::block::Block;

/// Capacity in blocks.
const LENGTH: usize = 1024;
/// Number of polls of a slot before the CPU is yielded.
const LOOKS: u32 = 100;

/// Slots that are used in turn: null when empty.
pub(super) struct Ring([AtomicPtr<u64>; LENGTH]);

impl Ring {
    pub(super) fn new() -> Ring {
        Ring([const { AtomicPtr::new(ptr::null_mut()) }; LENGTH])
    }

    /// Waits until a slot is empty, or until it is not; returns its content.
    fn wait(&self, turn: usize, empty: bool) -> *mut u64 {
        let mut looks = 0;
        loop {
            let held = self.0[turn % LENGTH].load(Ordering::Acquire);
            if held.is_null() == empty {
                return held;
            }
            looks += 1;
            if looks % LOOKS == 0 { yield_now() } else { spin_loop() }
        }
    }

    /// Puts a block in. One thread calls this, with `turn` counting from 0.
    pub(super) fn put(&self, turn: usize, block: Block) {
        self.wait(turn, true);
        self.0[turn % LENGTH].store(block.into_raw(), Ordering::Release);
    }

    /// Takes a block out. Another thread calls this, with `turn` counting from
    /// 0.
    pub(super) fn take(&self, turn: usize) -> Option<Block> {
        let held = self.wait(turn, false);
        self.0[turn % LENGTH].store(ptr::null_mut(), Ordering::Release);
        // SAFETY: `put` in; the slot was emptied, so the block is not taken
        // again.
        unsafe { Block::from_raw(held) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for slot in &mut self.0 {
            // SAFETY: null, or `put` in and not taken.
            drop(unsafe { Block::from_raw(*slot.get_mut()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn blocks_come_out_once_and_in_order() {
        let ring = Ring::new();
        thread::scope(|scope| {
            scope.spawn(|| (0..5000).for_each(|n| ring.put(n, Block::new(8 + n))));
            for n in 0..5000 {
                let start = ring.take(n).unwrap().into_raw();
                // SAFETY: a live block's first word.
                assert_eq!(unsafe { start.read() }, 8 + n as u64);
                // SAFETY: from above, once.
                drop(unsafe { Block::from_raw(start) });
            }
        });
    }

    #[test]
    fn what_is_left_in_it_is_freed() {
        let ring = Ring::new();
        ring.put(0, Block::new(16));
        ring.put(1, Block::new(16));
        drop(ring.take(0));
    }
}

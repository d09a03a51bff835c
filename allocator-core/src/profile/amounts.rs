//! What samples stand for: how much was allocated at some place or on somebody's behalf, and how
//! much of that is in use.

use core::mem::offset_of;

use crate::base::ordering;
use crate::base::sync::AtomicU64;
use crate::profile::rate::{PARTS, Weight};

/// Blocks and bytes, as estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Blocks.
    pub blocks: u64,
    /// Bytes, as requested.
    pub bytes: u64,
}

/// What was allocated, and what of that is in use.
pub(crate) struct Amounts {
    allocated: Count,
    used: Count,
}

/// Blocks in parts, and bytes.
struct Count {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Amounts {
    /// For readers outside of the process: where the blocks and the bytes are that were allocated,
    /// and those of them in use.
    pub(super) const OFFSETS: [usize; 4] = [
        offset_of!(Amounts, allocated.blocks),
        offset_of!(Amounts, allocated.bytes),
        offset_of!(Amounts, used.blocks),
        offset_of!(Amounts, used.bytes),
    ];

    pub(super) const fn new() -> Self {
        Amounts { allocated: Count::new(), used: Count::new() }
    }

    /// Counts a sample.
    pub(super) fn add(&self, weight: Weight) {
        self.allocated.add(weight);
        self.used.add(weight);
    }

    /// Counts that the block of a sample was freed.
    pub(super) fn subtract(&self, weight: Weight) {
        self.used.subtract(weight);
    }

    /// What was allocated.
    pub(crate) fn allocated(&self) -> Amount {
        self.allocated.get()
    }

    /// What of that is in use.
    pub(crate) fn used(&self) -> Amount {
        self.used.get()
    }
}

impl Count {
    const fn new() -> Self {
        Count { blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn add(&self, weight: Weight) {
        self.blocks.fetch_add(weight.blocks, ordering::profile_counts());
        self.bytes.fetch_add(weight.bytes, ordering::profile_counts());
    }

    fn subtract(&self, weight: Weight) {
        self.blocks.fetch_sub(weight.blocks, ordering::profile_counts());
        self.bytes.fetch_sub(weight.bytes, ordering::profile_counts());
    }

    fn get(&self) -> Amount {
        let blocks = self.blocks.load(ordering::profile_counts());
        let bytes = self.bytes.load(ordering::profile_counts());
        Amount { blocks: (blocks + PARTS / 2) / PARTS, bytes }
    }
}

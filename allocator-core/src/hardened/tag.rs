//! What a block carries behind the bytes of its user, up to its end. The tag tells how many
//! these are, and for whom the block was made; the canaries before it, that nobody wrote there.
//! A free block is zero everywhere: its tag, too.
//!
//! ```text
//!  │ bytes of the user │ canaries, 64 at most │ zeros │ tag, 8 B │
//!
//!  tag   │ 1 │ check: 39 bits │ align: 6 │ kind: 2 │ slack: 16 │   or 0: free
//! ```

use core::slice;

use crate::base::ordering;
use crate::base::sync::AtomicU64;

/// Bytes of a tag.
pub(super) const TAG: usize = 8;

/// Most bytes before a tag that are checked at a free.
const CANARIES: usize = 64;

const CANARY: u8 = 0xa7;

/// The tag of a block in use, read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// Bytes between those of the user and the tag.
    pub(super) slack: usize,
    /// The family of functions that made the block.
    pub(super) kind: u8,
    /// log2 of the alignment that was requested.
    pub(super) align: u8,
}

impl Tag {
    /// The word for a block at an address.
    fn word(self, at: *mut u8) -> u64 {
        let low = self.slack as u64 | u64::from(self.kind) << 16 | u64::from(self.align) << 18;
        let check = (at.addr() as u64 ^ low << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        1 << 63 | check >> 1 & !0xff_ffff | low
    }

    /// The tag that a word is, for a block at an address. `None`: somebody else wrote it.
    fn read(at: *mut u8, word: u64) -> Option<Self> {
        let tag = Tag {
            slack: (word & 0xffff) as usize,
            kind: (word >> 16 & 3) as u8,
            align: (word >> 18 & 63) as u8,
        };
        (tag.word(at) == word).then_some(tag)
    }
}

/// What the tag of a block says.
pub(super) enum State {
    Free,
    InUse(Tag),
    /// It was overwritten.
    Damaged,
}

/// A block, or the header of one: so many bytes, of which the last are the tag.
#[derive(Clone, Copy)]
pub(super) struct Tagged {
    pub(super) at: *mut u8,
    pub(super) bytes: usize,
}

impl Tagged {
    fn word(&self) -> &AtomicU64 {
        // SAFETY: blocks are aligned to 8 at least, as their sizes are, and mapped.
        unsafe { &*self.at.add(self.bytes - TAG).cast::<AtomicU64>() }
    }

    pub(super) fn state(&self) -> State {
        match self.word().load(ordering::block_tag()) {
            0 => State::Free,
            word => Tag::read(self.at, word).map_or(State::Damaged, State::InUse),
        }
    }

    /// Writes the tag.
    pub(super) fn set(&self, tag: Tag) {
        self.word().store(tag.word(self.at), ordering::block_tag());
    }

    /// Clears the tag. False if another thread did.
    pub(super) fn clear(&self) -> bool {
        self.word().swap(0, ordering::block_tag()) != 0
    }

    /// Bytes for the user.
    pub(super) fn size(&self, tag: Tag) -> usize {
        (self.bytes - TAG).saturating_sub(tag.slack)
    }

    /// The canaries of a block with this tag.
    ///
    /// # Safety
    /// The caller has the block.
    #[expect(clippy::mut_from_ref, reason = "the block is the caller's")]
    unsafe fn canaries(&self, tag: Tag) -> &mut [u8] {
        // SAFETY: they lie in the block.
        unsafe { slice::from_raw_parts_mut(self.at.add(self.size(tag)), tag.slack.min(CANARIES)) }
    }

    /// Writes the tag and the canaries of a block.
    ///
    /// # Safety
    /// The caller has the block.
    pub(super) unsafe fn dress(&self, tag: Tag) {
        // SAFETY: by the caller.
        unsafe { self.canaries(tag) }.fill(CANARY);
        self.set(tag);
    }

    /// Whether the canaries are as they were written.
    ///
    /// # Safety
    /// The caller has the block.
    pub(super) unsafe fn has_canaries(&self, tag: Tag) -> bool {
        // SAFETY: by the caller.
        unsafe { self.canaries(tag) }.iter().all(|byte| *byte == CANARY)
    }

    /// Zeroes all but the tag.
    ///
    /// # Safety
    /// The caller has the block, and nobody uses it.
    pub(super) unsafe fn wipe(&self, tag: Tag) {
        let bytes = self.size(tag) + tag.slack.min(CANARIES);
        // SAFETY: by the caller.
        unsafe { self.at.write_bytes(0, bytes) };
    }

    /// Whether all of it is zero, as free memory is.
    ///
    /// # Safety
    /// The caller has the block.
    pub(super) unsafe fn is_zero(&self) -> bool {
        // SAFETY: by the caller; its bytes are a multiple of a word's.
        let words = unsafe { slice::from_raw_parts(self.at.cast::<u64>(), self.bytes / 8) };
        words.chunks(32).all(|chunk| chunk.iter().fold(0, |all, word| all | word) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_where_it_was_written_and_nowhere_else() {
        for slack in [0, 1, 63, 4096, 65_535] {
            for (kind, align) in [(0, 0), (1, 4), (2, 12), (3, 30)] {
                let tag = Tag { slack, kind, align };
                let at = core::ptr::without_provenance_mut(0x1234_5670);
                let word = tag.word(at);
                assert!(Tag::read(at, word) == Some(tag));
                assert!(Tag::read(at.wrapping_add(16), word).is_none());
                for bit in 0..64 {
                    assert!(Tag::read(at, word ^ 1 << bit).is_none(), "bit {bit}");
                }
            }
        }
    }
}

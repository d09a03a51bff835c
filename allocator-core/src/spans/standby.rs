//! The huge block that was freed last, on *standby*: it keeps its place and its entry, and the
//! next request for as many bytes gets it, by one exchange of a word; where no chunk is spare, the
//! next for as many chunks. It counts as free memory all the time. Whoever wants other memory, or
//! gives memory back, frees its chunks before.
//!
//! ```text
//!  word   chunk │ units    of the block; 0: there is none
//!
//!  in use ──put──► on standby ──take, as many bytes──► in use
//!                       │ take_any; another is put
//!                       ▼
//!                  its chunks are freed
//! ```

use crate::base::geometry::{CHUNK, UNIT};
use crate::base::ordering;
use crate::base::sync::{self, AtomicU64};

/// The place of one huge block.
#[repr(transparent)]
pub(crate) struct Standby {
    word: AtomicU64,
}

/// The place of this process.
pub(crate) static STANDBY: Standby = Standby::new();

/// Low bits of the word, which hold the units of the block.
const UNIT_BITS: u32 = 32;

/// A block that was on standby: its chunk, and its bytes. It is the taker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freed {
    pub(crate) index: usize,
    pub(crate) bytes: usize,
}

impl Freed {
    fn of(word: u64) -> Option<Self> {
        let units = word & ((1 << UNIT_BITS) - 1);
        let index = (word >> UNIT_BITS) as usize;
        (word != 0).then_some(Freed { index, bytes: units as usize * UNIT })
    }

    fn word(self) -> u64 {
        (self.index as u64) << UNIT_BITS | (self.bytes / UNIT) as u64
    }
}

impl Standby {
    /// Most bytes of a block for which the word has room.
    pub(crate) const MOST: usize = ((1 << UNIT_BITS) - 1) * UNIT;

    const fn new() -> Self {
        Standby { word: AtomicU64::new(0) }
    }

    /// Puts a freed block on standby. Returns the one that was, whose chunks the caller frees.
    #[must_use]
    pub(crate) fn put(&self, freed: Freed) -> Option<Freed> {
        Freed::of(self.word.swap(freed.word(), ordering::standby_put()))
    }

    /// Takes the block, if it has `bytes` or, where that is `enough`, as many chunks.
    pub(crate) fn take(&self, bytes: usize, enough: bool) -> Option<Freed> {
        let word = self.peek();
        let freed = Freed::of(word)?;
        let alike = enough && freed.bytes.div_ceil(CHUNK) == bytes.div_ceil(CHUNK);
        if freed.bytes != bytes && !alike {
            return None;
        }
        let (take, peek) = (ordering::standby_take(), ordering::standby_peek());
        self.word.compare_exchange(word, 0, take, peek).ok().map(|_| freed)
    }

    /// Takes the block, if there is one.
    pub(crate) fn take_any(&self) -> Option<Freed> {
        if self.peek() == 0 {
            return None;
        }
        Freed::of(self.word.swap(0, ordering::standby_take()))
    }

    /// The block, for a guess.
    pub(crate) fn seen(&self) -> Option<Freed> {
        Freed::of(self.peek())
    }

    fn peek(&self) -> u64 {
        sync::peek_mask(&self.word, ordering::standby_peek())
    }

    /// Bytes of the block: free memory.
    pub(crate) fn bytes(&self) -> usize {
        self.seen().map_or(0, |freed| freed.bytes)
    }

    /// In the child of a fork, where the blocks that were freed are found by their tails: there is
    /// none.
    pub(crate) fn forget(&self) {
        self.word.store(0, ordering::standby_peek());
    }
}

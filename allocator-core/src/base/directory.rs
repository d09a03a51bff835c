//! The directory: where a program outside of the process finds the numbers that
//! [`Stats`](crate::Stats) consists of. It is constant: addresses of words, and offsets in what
//! those words lead to. Whoever reads it follows them in the memory of the process, which does
//! nothing for it.
//!
//! ```text
//!  .note.strata ──► directory ─┬─► counters
//!   in the file                ├─► arenas ──► heaps
//!                              ├─► records ─► heaps, caches ──► bins
//!                              ├─► stocks
//!                              └─► stacks ──► labels
//! ```
//! `strata-top` reads it. All fields are words or arrays of bytes, and so valid whatever they hold.

/// What a directory begins with.
pub const MAGIC: [u8; 16] = *b"strata directory";

/// The layout of what is described here. It changes with every change of [`Directory`], and of the
/// way from the words to the numbers.
pub const LAYOUT: usize = 2;

/// The name, with its null, and the type of the note that leads to the directory. The note has
/// one signed word of 32 bits: the distance of the directory from that word.
pub const NOTE_NAME: &str = "Strata";
/// As above.
pub const NOTE_TYPE: u32 = 1;

/// An address in the process that the directory is of.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Address(*const u8);

// SAFETY: nothing follows the pointer.
unsafe impl Sync for Address {}

impl Address {
    pub(crate) const fn of<T>(place: *const T) -> Self {
        Address(place.cast())
    }

    pub(crate) const fn plus(self, bytes: usize) -> Self {
        Address(self.0.wrapping_add(bytes))
    }

    /// The number. It is no use in another process but to read there.
    #[must_use]
    pub fn get(self) -> usize {
        self.0.addr()
    }
}

/// The directory. A word has 64 bits where nothing else is said.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Directory {
    /// [`MAGIC`].
    pub magic: [u8; 16],
    /// [`LAYOUT`]. What follows is like this in this layout only, but for the version.
    pub layout: usize,
    /// The version of the crate, and zeros.
    pub version: [u8; 32],
    /// The size classes.
    pub classes: Classes,
    /// Memory in use, and free.
    pub usage: Usage,
    /// Committed memory, and the limits.
    pub committed: Committed,
    /// What was counted since the start.
    pub counters: Counters,
    /// Huge blocks.
    pub huge: Huge,
    /// The part of these that no program has.
    pub held_back: HeldBack,
    /// Bytes mapped for blocks.
    pub mapped: Address,
    /// Bytes of metadata in use.
    pub metadata: Address,
    /// Threads with a cache: 32 bits.
    pub threads: Address,
    /// The container.
    pub container: Container,
    /// The arenas.
    pub arenas: Arenas,
    /// The records of threads.
    pub records: Records,
    /// Offsets in a heap.
    pub heap: Heap,
    /// Offsets in a cache.
    pub cache: Cache,
    /// The stocks.
    pub stocks: Stocks,
    /// The heap profile.
    pub profile: Profile,
}

/// The size classes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Classes {
    /// Bytes of a block of the first class: 32 bits.
    pub bytes: Address,
    /// From there to that of the next.
    pub stride: usize,
    /// The number of classes.
    pub count: usize,
}

/// Memory in use, and free.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Usage {
    /// Bytes of the granules of spans.
    pub spans: Address,
    /// Free bytes that may hold memory, but for the block on standby.
    pub dirty: Address,
    /// Bytes purged since the start.
    pub purged: Address,
}

/// Committed memory, and the limits. All ones: there is no limit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Committed {
    /// Bytes charged.
    pub bytes: Address,
    /// The soft limit.
    pub soft: Address,
    /// The hard limit.
    pub hard: Address,
}

/// What was counted since the start; of blocks, by threads without a cache.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Counters {
    /// Small blocks that left spans.
    pub small_blocks: Address,
    /// Bytes of these.
    pub small_bytes: Address,
    /// Page runs and huge blocks that threads got.
    pub large_blocks: Address,
    /// Bytes of these, and those that such blocks of all threads grew by.
    pub large_bytes: Address,
    /// Page runs and huge blocks that threads freed.
    pub large_freed: Address,
    /// Passes that returned free memory.
    pub purges: Address,
    /// Requests for which there was no memory.
    pub refusals: Address,
    /// Times above the soft limit.
    pub soft_limit: Address,
    /// Charges that the hard limit refused.
    pub hard_limit: Address,
    /// The most committed bytes.
    pub peak_committed: Address,
    /// The most threads with a cache.
    pub peak_threads: Address,
    /// Blocks that were last reported as allocated: the number never falls.
    pub allocated_blocks_seen: Address,
    /// Likewise.
    pub allocated_bytes_seen: Address,
    /// Likewise.
    pub freed_blocks_seen: Address,
    /// Likewise.
    pub freed_bytes_seen: Address,
}

/// Huge blocks.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Huge {
    /// Huge blocks, with the one on standby and those that are held back.
    pub blocks: Address,
    /// Bytes of these.
    pub bytes: Address,
    /// The block on standby: its units in the lower 32 bits. 0: there is none.
    pub standby: Address,
    /// Bytes of a unit.
    pub unit: usize,
}

/// Freed huge blocks that hardened mode holds back.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct HeldBack {
    /// Their number.
    pub blocks: Address,
    /// Their bytes.
    pub bytes: Address,
}

/// The container.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Container {
    /// The limit at the start; 0: there was none.
    pub limit: Address,
    /// Percent of it that were used at the last look.
    pub used: Address,
    /// Percent of the time that tasks waited.
    pub waiting: Address,
    /// 8 bits. 0: memory is plenty; 1: it is short; 2: it is scarce.
    pub supply: Address,
}

/// The arenas.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Arenas {
    /// How many there are; 0: the allocator is not set up.
    pub count: Address,
    /// The heap of the first.
    pub heaps: Address,
    /// From there to that of the next.
    pub stride: usize,
}

/// The records of threads.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Records {
    /// A table of pointers to records, by id; some may be null.
    pub table: Address,
    /// The first id.
    pub first: usize,
    /// The id after the last: 32 bits.
    pub next: Address,
    /// Most ids.
    pub most: usize,
    /// The heap in a record.
    pub heap: usize,
    /// The pointer to the cache in a record; null: no thread has one.
    pub cache: usize,
    /// For each class the blocks that threads without a cache freed: 32 bits each.
    pub returned: Address,
}

/// Offsets in a heap.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Heap {
    /// For each class the blocks that left, less those that came back: 32 bits each.
    pub out: usize,
    /// Small blocks that left spans for the owner; and what follows, as in [`Counters`].
    pub small_blocks: usize,
    /// Likewise.
    pub small_bytes: usize,
    /// Likewise.
    pub large_blocks: usize,
    /// Likewise.
    pub large_bytes: usize,
    /// Likewise.
    pub large_freed: usize,
}

/// Offsets in a cache.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Cache {
    /// The bin of the first class.
    pub bins: usize,
    /// From there to that of the next.
    pub stride: usize,
    /// In a bin, the pointer to the first free slot.
    pub top: usize,
    /// In a bin, the pointer to the array. Its first slot has no block.
    pub base: usize,
    /// Most blocks in a magazine. Where there seem to be more, there is no cache any more.
    pub most: usize,
}

/// The stocks.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Stocks {
    /// A table of pointers to stocks, with one for each class in a row; some may be null.
    pub table: Address,
    /// The number of rows.
    pub rows: usize,
    /// The number of blocks in a stock: 32 bits.
    pub count: usize,
}

/// The heap profile. Stacks and labels are never freed, and do not change but for their amounts.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Profile {
    /// One sample in so many bytes, in the mean; 0: the profile is off.
    pub rate: Address,
    /// Samples that there was no room for.
    pub dropped: Address,
    /// A table of pointers to stacks; some are null.
    pub stacks: Address,
    /// The number of places in the table.
    pub places: usize,
    /// The stack for samples that the table had no room for.
    pub others: Address,
    /// The label of samples in no scope.
    pub no_label: Address,
    /// Most frames of a stack.
    pub most_frames: usize,
    /// Most bytes of a key, and of a value.
    pub most_text: usize,
    /// A block is counted as so many.
    pub parts: usize,
    /// Offsets in a stack.
    pub stack: Stack,
    /// Offsets in a label.
    pub label: Label,
}

/// Offsets in a stack.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Stack {
    /// The bytes of a stack.
    pub bytes: usize,
    /// The pointer to the return addresses, the innermost first.
    pub frames: usize,
    /// The number of these.
    pub len: usize,
    /// The pointer to the label.
    pub label: usize,
    /// Blocks that were allocated, in parts.
    pub allocated_blocks: usize,
    /// Bytes of these.
    pub allocated_bytes: usize,
    /// Those in use, in parts.
    pub used_blocks: usize,
    /// Bytes of these.
    pub used_bytes: usize,
}

/// Offsets in a label. Each text is a pointer to its bytes, and their number.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Label {
    /// The bytes of a label.
    pub bytes: usize,
    /// The key.
    pub key: usize,
    /// The value.
    pub value: usize,
}

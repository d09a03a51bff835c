//! The stacks that samples were taken at: each once, with what was allocated there and what of
//! that is in use. They are never freed, so that a reader needs no lock.

use core::ptr::NonNull;
use core::slice;

use crate::base::ordering;
use crate::base::published::Published;
use crate::base::sync::{AtomicU64, AtomicUsize};
use crate::pages::metadata;
use crate::profile::rate::{PARTS, Weight};

/// Most functions of a stack: the innermost ones.
pub(super) const MOST_FRAMES: usize = 120;

/// Most places in the table; a fourth of them stays empty.
const PLACES: usize = 1 << 13;

/// Most stacks. Samples of further ones are counted at [`OTHERS`].
const MOST_STACKS: usize = PLACES / 4 * 3;

static TABLE: [Published<Stack>; PLACES] = [const { Published::new() }; PLACES];

/// The number of stacks in the table.
static PUBLISHED: AtomicUsize = AtomicUsize::new(0);

/// Stands for all stacks that the table had no room for.
static OTHERS: Stack = Stack::new(0, NonNull::dangling(), 0);

/// A stack, and what the samples taken there stand for.
pub(crate) struct Stack {
    hash: u64,
    /// The frames, which follow this in memory.
    frames: *const usize,
    len: usize,
    allocated: Count,
    used: Count,
}

// SAFETY: the frames are written before the stack is published, and stay.
unsafe impl Sync for Stack {}

/// Blocks in parts, and bytes.
struct Count {
    blocks: AtomicU64,
    bytes: AtomicU64,
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

    fn get(&self) -> (u64, u64) {
        let blocks = self.blocks.load(ordering::profile_counts());
        ((blocks + PARTS / 2) / PARTS, self.bytes.load(ordering::profile_counts()))
    }
}

/// A stack that is being captured, and the bytes of its memory.
pub(super) struct Candidate {
    place: NonNull<Stack>,
    bytes: usize,
}

const fn bytes(len: usize) -> usize {
    size_of::<Stack>() + len * size_of::<usize>()
}

const _: () = assert!(bytes(MOST_FRAMES) <= 1024);

impl Candidate {
    /// Captures a stack: `capture` writes frames, and returns how many. `None`: there is no
    /// memory.
    pub(super) fn new(capture: impl FnOnce(&mut [usize]) -> Option<usize>) -> Option<Self> {
        let mut candidate = Self::with_room(MOST_FRAMES)?;
        let frames = candidate.frames();
        // SAFETY: the memory is the candidate's, and has room for so many.
        let captured = unsafe {
            frames.cast::<[usize; MOST_FRAMES]>().write([0; MOST_FRAMES]);
            slice::from_raw_parts_mut(frames.as_ptr(), MOST_FRAMES)
        };
        let Some(len) = capture(captured) else {
            candidate.free();
            return None;
        };
        candidate.write(hash(&captured[..len]), len);
        Some(candidate)
    }

    fn with_room(len: usize) -> Option<Self> {
        let bytes = bytes(len);
        Some(Candidate { place: metadata::alloc(bytes)?.cast(), bytes })
    }

    fn frames(&self) -> NonNull<usize> {
        // SAFETY: the frames lie behind the stack, in the same memory.
        unsafe { self.place.add(1).cast() }
    }

    fn write(&mut self, hash: u64, len: usize) {
        // SAFETY: the memory is the candidate's.
        unsafe { self.place.write(Stack::new(hash, self.frames(), len)) };
    }

    /// Moves the stack to memory that is no larger than it needs, if there is any.
    pub(super) fn shrink(self) -> Self {
        let (hash, len) = (self.stack().hash, self.stack().len);
        if metadata::slot_bytes(bytes(len)) == metadata::slot_bytes(self.bytes) {
            return self;
        }
        let Some(mut small) = Self::with_room(len) else { return self };
        // SAFETY: both have room for so many, and nobody else has them.
        unsafe { small.frames().copy_from_nonoverlapping(self.frames(), len) };
        small.write(hash, len);
        self.free();
        small
    }

    /// The stack. It may be kept if it is published, else until it is freed.
    pub(super) fn stack(&self) -> &'static Stack {
        // SAFETY: it was written, and what is published is never freed.
        unsafe { &*self.place.as_ptr() }
    }

    /// Frees the memory of a stack that was not published.
    pub(super) fn free(self) {
        // SAFETY: nobody else has it.
        unsafe { metadata::free(self.place.cast(), self.bytes) };
    }
}

/// The stack of the table that is equal; else the place for it.
pub(super) fn find(stack: &Stack) -> Result<&'static Stack, Option<usize>> {
    for at in 0..PLACES {
        let place = (stack.hash as usize).wrapping_add(at) % PLACES;
        match TABLE[place].get() {
            Some(known) if known.hash == stack.hash && known.frames() == stack.frames() => {
                return Ok(known);
            }
            Some(_) => {}
            None => {
                let has_room = PUBLISHED.load(ordering::profile_counts()) < MOST_STACKS;
                return Err(has_room.then_some(place));
            }
        }
    }
    Err(None)
}

/// Publishes a stack in the place that [`find`] gave. Only one thread at a time does both.
pub(super) fn publish(place: usize, stack: &'static Stack) {
    PUBLISHED.fetch_add(1, ordering::profile_counts());
    TABLE[place].publish(stack);
}

/// Stands for what the table has no room for.
pub(super) fn others() -> &'static Stack {
    &OTHERS
}

/// All stacks so far.
pub(crate) fn all() -> impl Iterator<Item = &'static Stack> {
    TABLE.iter().filter_map(Published::get).chain([&OTHERS])
}

impl Stack {
    const fn new(hash: u64, frames: NonNull<usize>, len: usize) -> Self {
        Stack { hash, frames: frames.as_ptr(), len, allocated: Count::new(), used: Count::new() }
    }

    /// The return addresses, the innermost first.
    pub(crate) fn frames(&self) -> &[usize] {
        // SAFETY: there are so many, and they are not written any more.
        unsafe { slice::from_raw_parts(self.frames, self.len) }
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

    /// Blocks and bytes that were allocated here, as estimated.
    pub(crate) fn allocated(&self) -> (u64, u64) {
        self.allocated.get()
    }

    /// Blocks and bytes that were allocated here and are in use, as estimated.
    pub(crate) fn used(&self) -> (u64, u64) {
        self.used.get()
    }
}

/// The hash of a stack: FNV-1a over words, and mixed.
fn hash(frames: &[usize]) -> u64 {
    let hash = frames.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, frame| {
        (hash ^ *frame as u64).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
    });
    hash ^ hash >> 29
}

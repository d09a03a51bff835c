//! The stacks that samples were taken at: each once for each scope, with what was allocated there
//! and what of that is in use. They are never freed, so that a reader needs no lock.

use core::mem::offset_of;
use core::ptr::{self, NonNull};
use core::slice;

use crate::base::directory::{self, Address};
use crate::pages::metadata;
use crate::profile::amounts::Amounts;
use crate::profile::interned::Interned;
use crate::profile::labels::{self, Label, MOST_TEXT};
use crate::profile::rate::{self, PARTS, Weight};

/// Most functions of a stack: the innermost ones.
pub(super) const MOST_FRAMES: usize = 120;

/// Most places in the table; a fourth of them stays empty.
const PLACES: usize = 1 << 13;

/// Most stacks. Samples of further ones are counted at the one without frames, of which each label
/// has its own.
const MOST_STACKS: usize = PLACES / 4 * 3;

static TABLE: Interned<Stack, PLACES> = Interned::new();

/// Stands for all stacks without a label that the table had no room for.
static OTHERS: Stack = Stack::new(0, NonNull::dangling(), 0, &labels::NONE);

/// Where the stacks are, for readers outside of the process.
pub(super) const fn places(dropped: Address) -> directory::Profile {
    let [allocated_blocks, allocated_bytes, used_blocks, used_bytes] = Amounts::OFFSETS;
    let amounts = offset_of!(Stack, amounts);
    directory::Profile {
        rate: rate::place(),
        dropped,
        stacks: TABLE.places(),
        places: PLACES,
        others: Address::of(&raw const OTHERS),
        no_label: Address::of(&raw const labels::NONE),
        most_frames: MOST_FRAMES,
        most_text: MOST_TEXT,
        parts: PARTS as usize,
        stack: directory::Stack {
            bytes: size_of::<Stack>(),
            frames: offset_of!(Stack, frames),
            len: offset_of!(Stack, len),
            label: offset_of!(Stack, label),
            allocated_blocks: amounts + allocated_blocks,
            allocated_bytes: amounts + allocated_bytes,
            used_blocks: amounts + used_blocks,
            used_bytes: amounts + used_bytes,
        },
        label: Label::OFFSETS,
    }
}

/// A stack, the label of the samples that were taken there, and what they stand for.
pub(crate) struct Stack {
    hash: u64,
    /// The frames, which follow this in memory.
    frames: *const usize,
    len: usize,
    label: &'static Label,
    amounts: Amounts,
}

// SAFETY: the frames are written before the stack is published, and stay.
unsafe impl Sync for Stack {}

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
    pub(super) fn new(
        label: &'static Label,
        capture: impl FnOnce(&mut [usize]) -> Option<usize>,
    ) -> Option<Self> {
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
        candidate.write(hash(&captured[..len], label), len, label);
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

    fn write(&mut self, hash: u64, len: usize, label: &'static Label) {
        // SAFETY: the memory is the candidate's.
        unsafe { self.place.write(Stack::new(hash, self.frames(), len, label)) };
    }

    /// Makes it the stack without frames of its label.
    pub(super) fn without_frames(mut self) -> Self {
        let label = self.stack().label;
        self.write(hash(&[], label), 0, label);
        self
    }

    /// Moves the stack to memory that is no larger than it needs, if there is any.
    pub(super) fn shrink(self) -> Self {
        let Stack { hash, len, label, .. } = *self.stack();
        if metadata::slot_bytes(bytes(len)) == metadata::slot_bytes(self.bytes) {
            return self;
        }
        let Some(mut small) = Self::with_room(len) else { return self };
        // SAFETY: both have room for so many, and nobody else has them.
        unsafe { small.frames().copy_from_nonoverlapping(self.frames(), len) };
        small.write(hash, len, label);
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
    if stack.len == 0 && ptr::eq(stack.label, &labels::NONE) {
        return Ok(&OTHERS);
    }
    // There are fewer labels than places that are kept for their stacks without frames.
    let most = if stack.len == 0 { PLACES } else { MOST_STACKS };
    TABLE.find(stack.hash, most, |known| {
        known.hash == stack.hash
            && ptr::eq(known.label, stack.label)
            && known.frames() == stack.frames()
    })
}

/// Publishes a stack in the place that [`find`] gave. Only one thread at a time does both.
pub(super) fn publish(place: usize, stack: &'static Stack) {
    TABLE.publish(place, stack);
}

/// Stands for what the table has no room for.
pub(super) fn others() -> &'static Stack {
    &OTHERS
}

/// All stacks so far.
pub(crate) fn all() -> impl Iterator<Item = &'static Stack> {
    TABLE.all().chain([&OTHERS])
}

impl Stack {
    const fn new(hash: u64, frames: NonNull<usize>, len: usize, label: &'static Label) -> Self {
        Stack { hash, frames: frames.as_ptr(), len, label, amounts: Amounts::new() }
    }

    /// The return addresses, the innermost first.
    pub(crate) fn frames(&self) -> &[usize] {
        // SAFETY: there are so many, and they are not written any more.
        unsafe { slice::from_raw_parts(self.frames, self.len) }
    }

    /// The label of all samples that were counted here.
    pub(crate) fn label(&self) -> &'static Label {
        self.label
    }

    /// Counts a sample.
    pub(super) fn add(&self, weight: Weight) {
        self.amounts.add(weight);
        self.label.amounts.add(weight);
    }

    /// Counts that the block of a sample was freed.
    pub(super) fn subtract(&self, weight: Weight) {
        self.amounts.subtract(weight);
        self.label.amounts.subtract(weight);
    }

    /// What was allocated here, and what of that is in use.
    pub(crate) fn amounts(&self) -> &Amounts {
        &self.amounts
    }
}

/// The hash of a stack with a label: FNV-1a over words, and mixed.
fn hash(frames: &[usize], label: &Label) -> u64 {
    let hash = frames.iter().fold(0xcbf2_9ce4_8422_2325 ^ label.hash, |hash: u64, frame| {
        (hash ^ *frame as u64).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
    });
    hash ^ hash >> 29
}

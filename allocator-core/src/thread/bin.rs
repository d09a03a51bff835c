//! A bin: a thread's magazine of one class, a stack of pointers to free blocks. A push
//! or pop is a load, a test and two stores, without atomic read-modify-writes. Nothing
//! is written to the block.
//!
//! ```text
//!  base                 top                limit
//!  │null│block│block│···│                  │      one slot each, 8 B
//!        └ first        └ next free slot   └ full when top gets here
//! ```
//!
//! The null at the bottom marks the end of the stack: no count is needed to detect
//! empty.

use core::cell::Cell;
use core::mem::offset_of;
use core::{hint, ptr, slice};

use crate::base::ordering;
use crate::base::sync::{self, AtomicPtr};
use crate::sys;

/// A place for a pointer to a free block.
pub(super) type Slot = *mut u8;

#[repr(C, align(32))]
pub(super) struct Bin {
    /// \[OWNER-ONLY\], like all of a bin. But other threads may read this word and
    /// `base`, to count the blocks.
    top: AtomicPtr<Slot>,
    limit: Cell<*mut Slot>,
    base: AtomicPtr<Slot>,
    /// The page-map entry of the blocks that belong here: the heap's id and the class.
    key: Cell<u32>,
    /// Bytes of the array that `base` points to; 0 if there is none.
    array: Cell<u32>,
}

/// The stack of a bin without one: it reads as empty and as full.
static NOTHING: [usize; 2] = [0; 2];

const fn nothing() -> *mut Slot {
    ptr::from_ref(&NOTHING).cast_mut().cast()
}

/// No entry has this value: the key of bins that belong to no thread.
pub(super) const NO_KEY: u32 = u32::MAX;

impl Bin {
    /// Offsets of `top` and of `base`, for readers outside of the process.
    pub(super) const OFFSETS: [usize; 2] = [offset_of!(Bin, top), offset_of!(Bin, base)];

    /// A bin without a magazine.
    pub(crate) const fn new(key: u32) -> Self {
        let nothing = nothing();
        let top = nothing.wrapping_add(1);
        Bin {
            top: AtomicPtr::new(top),
            limit: Cell::new(top),
            base: AtomicPtr::new(nothing),
            key: Cell::new(key),
            array: Cell::new(0),
        }
    }

    /// Sets the entry of the blocks that belong here.
    pub(super) fn set_key(&self, key: u32) {
        self.key.set(key);
    }

    /// Pops the newest block, if there is one. The block that is popped next may be cold, and
    /// the program will write to it: it is prefetched.
    ///
    /// A signal handler may pop and push in between. If it pushes no more than it popped,
    /// at every moment, then at its end the top is where it was, and the same blocks are
    /// below it; but in another order. So the block is read last, when its slot is above
    /// the top, where the handler does not write.
    ///
    /// # Safety
    /// \[OWNER-ONLY\] The bin is the calling thread's, or belongs to no thread.
    #[inline(always)]
    pub(crate) unsafe fn pop(&self) -> Option<*mut u8> {
        let newest = self.top.load(ordering::bin_top()).wrapping_sub(1);
        // SAFETY: [BIN-BOTTOM] below the top is a block or the null.
        if unsafe { newest.read() }.is_null() {
            return None;
        }
        // SAFETY: [BIN-BOTTOM] as above: below a block is another one, or the null.
        sys::prefetch(unsafe { newest.sub(1).read() });
        self.move_top(-1);
        sync::in_order();
        // SAFETY: [BIN-BOTTOM] as above. The slot held a block, and still does.
        unsafe {
            let block = newest.read();
            hint::assert_unchecked(!block.is_null());
            Some(block)
        }
    }

    /// Moves the top by some slots. It reloads the word, so that the compiler changes
    /// it in memory with one instruction.
    #[inline(always)]
    fn move_top(&self, slots: isize) {
        let top = self.top.load(ordering::bin_top());
        self.top.store(top.wrapping_offset(slots), ordering::bin_top());
    }

    /// Whether blocks with this entry belong here.
    #[inline(always)]
    pub(super) fn is_for(&self, entry: u32) -> bool {
        self.key.get() == entry
    }

    /// Pushes a block; false if the stack is full.
    ///
    /// The slot is written before the top moves: a signal handler that pops in between
    /// does not find a slot without a block. What it pops and pushes lies below.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); the block's entry is this bin's.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, block: *mut u8) -> bool {
        // SAFETY: by the caller.
        unsafe { self.push_at(self.top.load(ordering::bin_top()), block) }
    }

    /// Pushes a block at the top.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline(always)]
    unsafe fn push_at(&self, top: *mut Slot, block: *mut u8) -> bool {
        if top == self.limit.get() {
            return false;
        }
        // SAFETY: [BIN-BOTTOM] below the limit is ours to write.
        unsafe { top.write(block) };
        // In the child of a fork, the slots below the top of any thread are filled.
        sync::in_order();
        self.move_top(1);
        true
    }

    /// Like [`push`](Self::push), but false also if the block is the newest one already: it
    /// was just freed.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline(always)]
    pub(crate) unsafe fn push_another(&self, block: *mut u8) -> bool {
        let top = self.top.load(ordering::bin_top());
        // SAFETY: [BIN-BOTTOM] below the top is a block or the null.
        if unsafe { top.sub(1).read() } == block {
            return false;
        }
        // SAFETY: by the caller.
        unsafe { self.push_at(top, block) }
    }

    /// Whether the block was pushed last.
    pub(super) fn is_newest(&self, block: *mut u8) -> bool {
        let top = self.top.load(ordering::bin_top());
        // SAFETY: [BIN-BOTTOM] below the top is a block or the null.
        unsafe { top.sub(1).read() == block }
    }

    /// Number of blocks in the magazine. Other threads may call this; their result may
    /// be out of date.
    pub(crate) fn len(&self) -> usize {
        let base = self.base.load(ordering::bin_base());
        let top = self.top.load(ordering::bin_top());
        (top.addr().wrapping_sub(base.addr()) / size_of::<Slot>()).wrapping_sub(1)
    }

    /// Number of blocks that fit.
    pub(super) fn capacity(&self) -> usize {
        let base = self.base.load(ordering::bin_base());
        let limit = self.limit.get();
        (limit.addr() - base.addr()) / size_of::<Slot>() - 1
    }

    /// Number of blocks that still fit.
    pub(super) fn unused(&self) -> usize {
        let top = self.top.load(ordering::bin_top());
        (self.limit.get().addr() - top.addr()) / size_of::<Slot>()
    }

    /// Lowers the capacity by `blocks`, not more than are unused.
    pub(super) fn lower_capacity(&self, blocks: usize) {
        self.limit.set(self.limit.get().wrapping_sub(blocks));
    }

    /// The slot of the oldest block.
    pub(super) fn first(&self) -> *mut Slot {
        self.base.load(ordering::bin_base()).wrapping_add(1)
    }

    /// The blocks, the oldest first.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; nothing is popped or pushed meanwhile.
    #[expect(clippy::mut_from_ref, reason = "one thread has the bin")]
    pub(crate) unsafe fn blocks(&self) -> &mut [*mut u8] {
        // SAFETY: the slots below the top are filled.
        unsafe { slice::from_raw_parts_mut(self.first(), self.len()) }
    }

    /// Drops the oldest blocks.
    ///
    /// Nothing is popped or pushed meanwhile.
    pub(super) fn drop_oldest(&self, count: usize) {
        let kept = self.len().saturating_sub(count);
        if kept != 0 {
            // SAFETY: the slots below the top are filled.
            unsafe { ptr::copy(self.first().wrapping_add(count), self.first(), kept) };
        }
        self.set_len(kept);
    }

    /// Sets the number of blocks in the magazine.
    pub(super) fn set_len(&self, len: usize) {
        // In the child of a fork, the slots below the top of any thread are filled.
        sync::in_order();
        self.top.store(self.first().wrapping_add(len), ordering::bin_top());
    }

    /// Sets the number of blocks that fit.
    pub(super) fn set_capacity(&self, capacity: usize) {
        self.limit.set(self.first().wrapping_add(capacity));
    }

    /// The array and its bytes; 0 bytes if there is none.
    pub(super) fn array(&self) -> (*mut Slot, usize) {
        (self.base.load(ordering::bin_base()), self.array.get() as usize)
    }

    /// Gives the magazine an array of `bytes`, empty.
    ///
    /// # Safety
    /// As for [`pop`](Self::pop); the array is the bin's from now on.
    pub(super) unsafe fn set_array(&self, array: *mut Slot, bytes: usize) {
        // SAFETY: the array is ours and has at least one slot.
        unsafe { array.write(ptr::null_mut()) };
        self.base.store(array, ordering::bin_base());
        self.array.set(bytes as u32);
        self.set_len(0);
    }

    /// Removes the array: the bin reads as empty and as full.
    pub(super) fn unset_array(&self) {
        self.base.store(nothing(), ordering::bin_base());
        self.array.set(0);
        self.set_len(0);
        self.set_capacity(0);
    }
}

//! The remote cache of a thread: blocks of other owners that the thread freed,
//! unsorted, in one array. It is full at 16 KiB or at 64 blocks; after 64 blocks
//! filled it four times, at 256. Then [`BatchPool::send`] groups the blocks by
//! owner, and sends each group in one step, rather than block by block.

use core::ptr::{self, NonNull};
use core::slice;

use crate::base::size_class;
use crate::base::sync;
use crate::pages::metadata;
use crate::remote::send::BatchPool;
use crate::thread::bin::Slot;

/// Most bytes of other owners' blocks that a thread buffers.
const MAX_BYTES: u32 = 16 << 10;
/// Most blocks of other owners that a thread buffers.
const MAX_BLOCKS: u32 = 256;
/// The first array has room for so many.
const FIRST_BLOCKS: u32 = 64;
/// Times that the first array must fill up before it grows to [`MAX_BLOCKS`].
const TRIED: u8 = 4;

/// \[OWNER-ONLY\] The remote cache of one thread.
pub(super) struct RemoteCache {
    blocks: *mut Slot,
    len: u32,
    bytes: u32,
    /// Blocks that fit in the array; 0 if there is none.
    most: u32,
    /// How often the first array was full.
    full: u8,
    /// Empty batches, to send blocks in.
    pub(super) batches: BatchPool,
}

impl RemoteCache {
    /// Whether there is an array.
    #[inline(always)]
    pub(super) fn has_array(&self) -> bool {
        !self.blocks.is_null()
    }

    /// Whether the block was buffered last.
    #[inline(always)]
    pub(super) fn is_newest(&self, block: *mut u8) -> bool {
        // SAFETY: [OWNER-ONLY] `len` slots are filled.
        self.len != 0 && unsafe { self.blocks.add(self.len as usize - 1).read() } == block
    }

    /// Buffers a block. (The array has room: a full one is sent at once.) Returns whether
    /// it is full now: then it must be sent.
    ///
    /// # Safety
    /// There is an array.
    #[inline(always)]
    pub(super) unsafe fn buffer(&mut self, block: *mut u8, class: usize) -> bool {
        // SAFETY: [OWNER-ONLY] the slot lies in the array, as `len` is below `most`.
        unsafe { self.blocks.add(self.len as usize).write(block) };
        // In the child of a fork, the slots below the length of any thread are filled.
        sync::in_order();
        self.len += 1;
        self.bytes += size_class::size(class) as u32;
        self.len == self.most || self.bytes >= MAX_BYTES
    }

    /// Sends all blocks to their owners. Returns their bytes.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\] The buffered blocks are free.
    pub(super) unsafe fn send(&mut self) -> usize {
        let len = core::mem::take(&mut self.len);
        let bytes = core::mem::take(&mut self.bytes);
        // In the child of a fork, no block of a vanished thread is in two places.
        sync::in_order();
        if len != 0 {
            // SAFETY: `len` slots are filled. [LIVE-PINS-SPAN] by the caller.
            unsafe { self.batches.send(slice::from_raw_parts_mut(self.blocks, len as usize)) };
        }
        if len == FIRST_BLOCKS && self.most == FIRST_BLOCKS {
            self.full += 1;
            if self.full == TRIED {
                self.full = 0;
                self.resize(MAX_BLOCKS);
            }
        }
        bytes as usize
    }

    pub(crate) const fn new() -> Self {
        RemoteCache {
            blocks: ptr::null_mut(),
            len: 0,
            bytes: 0,
            most: 0,
            full: 0,
            batches: BatchPool::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Allocates the array if there is none. False if there is no memory for it.
    #[cold]
    pub(super) fn ensure_array(&mut self) -> bool {
        self.has_array() || self.resize(FIRST_BLOCKS)
    }

    /// Replaces the array, which is empty, by one for `most` blocks. False if there
    /// is no memory for it.
    #[cold]
    fn resize(&mut self, most: u32) -> bool {
        let Some(blocks) = metadata::alloc(array(most)) else { return false };
        self.free_array();
        self.most = most;
        sync::in_order();
        self.blocks = blocks.as_ptr().cast();
        true
    }

    /// Frees the array, which is empty.
    pub(super) fn free_array(&mut self) {
        let blocks = core::mem::replace(&mut self.blocks, ptr::null_mut());
        // In the child of a fork, a vanished thread has no array that it freed.
        sync::in_order();
        if let Some(blocks) = NonNull::new(blocks) {
            // SAFETY: [OWNER-ONLY] it came from `metadata::alloc`, for `most` blocks.
            unsafe { metadata::free(blocks.cast(), array(self.most)) };
        }
        self.most = 0;
    }
}

/// Bytes of an array for `most` blocks.
const fn array(most: u32) -> usize {
    most as usize * size_of::<Slot>()
}

//! The remote cache of a thread: blocks of other owners that the thread freed. Those of one
//! owner go straight into a batch, which is pushed when it has 62: the open batch. The
//! others are unsorted, in one array. It is full at 64 blocks; after 64 blocks filled it
//! four times, at 256. Then [`BatchPool::send`] groups the blocks by owner, and sends each
//! group in one step, rather than block by block. An owner of 32 and more of them gets the
//! open batch, if the owner that had it did not fill it meanwhile. At 16 KiB, all is sent.
//!
//! ```text
//!  free ─┬─ of the open batch's owner ──► open batch ─────────────► its remote queue
//!        └─ of another ─────────────────► array ──► groups ──┬────► remote queues
//!                                                            └ few: spans
//! ```

use core::ptr::{self, NonNull};
use core::slice;

use crate::base::size_class;
use crate::base::sync;
use crate::heaps::remote_queue::Batch;
use crate::pages::metadata;
use crate::remote::send::BatchPool;
use crate::spans::span::NO_HEAP;
use crate::thread::bin::Slot;

/// Most bytes of other owners' blocks that a thread buffers.
const MAX_BYTES: u32 = 16 << 10;
/// Most blocks of other owners that a thread buffers.
const MAX_BLOCKS: u32 = 256;
/// The first array has room for so many.
const FIRST_BLOCKS: u32 = 64;
/// Times that the first array must fill up before it grows to [`MAX_BLOCKS`].
const TRIED: u8 = 4;

/// There is no open batch. No block has this owner; one that was freed twice may have
/// [`NO_HEAP`].
const CLOSED: u32 = u32::MAX;

/// \[OWNER-ONLY\] The remote cache of one thread.
pub(super) struct RemoteCache {
    /// The owner whose blocks go straight into a batch: `open`. [`CLOSED`]: none.
    open_for: u32,
    /// Bytes of the blocks in it.
    open_bytes: u32,
    open: *mut Batch,
    /// The block that was buffered last, if it was not sent since.
    newest: *mut u8,
    /// Blocks of other owners.
    blocks: *mut Slot,
    len: u32,
    bytes: u32,
    /// Blocks that fit in the array; 0 if there is none.
    most: u32,
    /// How often the first array was full.
    full: u8,
    /// Whether the open batch was filled since the array was last full.
    filled: bool,
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
        self.newest == block
    }

    /// Buffers a block of `class` that seems to have this owner. (There is room: what is full
    /// is sent at once.) Returns whether something is full now: then it must be sent.
    ///
    /// # Safety
    /// There is an array.
    #[inline(always)]
    pub(super) unsafe fn buffer(&mut self, block: *mut u8, class: usize, owner: u32) -> bool {
        self.newest = block;
        let size = size_class::size(class) as u32;
        if owner == self.open_for {
            self.open_bytes += size;
            // SAFETY: [BATCH-ONE-PLACE] an open batch is this cache's.
            let full = unsafe { (*self.open).with(|batch| batch.add(block)) };
            return full || self.bytes + self.open_bytes >= MAX_BYTES;
        }
        // SAFETY: [OWNER-ONLY] the slot lies in the array, as `len` is below `most`.
        unsafe { self.blocks.add(self.len as usize).write(block) };
        // In the child of a fork, the slots below the length of any thread are filled.
        sync::in_order();
        self.len += 1;
        self.bytes += size;
        self.len == self.most || self.bytes + self.open_bytes >= MAX_BYTES
    }

    /// Sends what is full: the open batch, or all. Returns the bytes that were sent.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\] The buffered blocks are free.
    pub(super) unsafe fn send_full(&mut self) -> usize {
        if self.len == self.most || self.bytes + self.open_bytes >= MAX_BYTES {
            // SAFETY: by the caller.
            return unsafe { self.send() };
        }
        let owner = self.open_for;
        self.filled = true;
        // SAFETY: by the caller.
        let bytes = unsafe { self.send_open() };
        self.open(owner);
        bytes
    }

    /// Sends all blocks to their owners. Returns their bytes.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\] The buffered blocks are free.
    pub(super) unsafe fn send(&mut self) -> usize {
        let mut next = self.open_for;
        // SAFETY: by the caller.
        let open_bytes = unsafe { self.send_open() };
        let len = core::mem::take(&mut self.len);
        let bytes = core::mem::take(&mut self.bytes);
        // In the child of a fork, no block of a vanished thread is in two places.
        sync::in_order();
        if len != 0 {
            // SAFETY: `len` slots are filled. [LIVE-PINS-SPAN] by the caller.
            let most =
                unsafe { self.batches.send(slice::from_raw_parts_mut(self.blocks, len as usize)) };
            if !core::mem::take(&mut self.filled) && most != NO_HEAP {
                next = most;
            }
        }
        if len == FIRST_BLOCKS && self.most == FIRST_BLOCKS {
            self.full += 1;
            if self.full == TRIED {
                self.full = 0;
                self.resize(MAX_BLOCKS);
            }
        }
        self.open(next);
        open_bytes + bytes as usize
    }

    /// Opens a batch for this owner, if there is memory for one.
    fn open(&mut self, owner: u32) {
        if owner == CLOSED {
            return;
        }
        if let Some(batch) = self.batches.get_empty() {
            self.open = batch.as_ptr();
            // In the child of a fork, there is a batch for the owner.
            sync::in_order();
            self.open_for = owner;
        }
    }

    /// Sends the open batch, if there is one. Returns the bytes of its blocks.
    ///
    /// # Safety
    /// As for [`send`](Self::send).
    unsafe fn send_open(&mut self) -> usize {
        let owner = core::mem::replace(&mut self.open_for, CLOSED);
        let bytes = core::mem::take(&mut self.open_bytes);
        self.newest = ptr::null_mut();
        // In the child of a fork, no block of a vanished thread is in two places.
        sync::in_order();
        if owner != CLOSED
            && let Some(batch) = NonNull::new(self.open)
        {
            // SAFETY: [BATCH-ONE-PLACE] it was this cache's. [LIVE-PINS-SPAN] by the caller.
            unsafe { self.batches.send_batch(owner, batch, false) };
        }
        bytes as usize
    }

    pub(crate) const fn new() -> Self {
        RemoteCache {
            open_for: CLOSED,
            open_bytes: 0,
            open: ptr::null_mut(),
            newest: ptr::null_mut(),
            filled: false,
            blocks: ptr::null_mut(),
            len: 0,
            bytes: 0,
            most: 0,
            full: 0,
            batches: BatchPool::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0 && self.open_bytes == 0
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
        self.free_blocks();
        self.most = most;
        sync::in_order();
        self.blocks = blocks.as_ptr().cast();
        true
    }

    /// Frees the array, which is empty, and closes the open batch, which is so, too.
    pub(super) fn free_array(&mut self) {
        let owner = core::mem::replace(&mut self.open_for, CLOSED);
        // In the child of a fork, the batch of a vanished thread is in one place.
        sync::in_order();
        if owner != CLOSED
            && let Some(batch) = NonNull::new(self.open)
        {
            self.batches.put(batch);
        }
        self.free_blocks();
    }

    /// Frees the array, which is empty.
    fn free_blocks(&mut self) {
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

//! An remote cache: blocks of other owners that a thread freed, unsorted, until they
//! are sent heap together.

use core::ptr::{self, NonNull};
use core::slice;

use crate::base::size_class;
use crate::pages::metadata;
use crate::remote::send::BatchPool;
use crate::thread::bin::Slot;

/// Bytes of other owners' blocks that a thread may hold back.
const MAX_BYTES: u32 = 16 << 10;
/// Blocks of other owners that a thread may hold back.
const MAX_BLOCKS: u32 = 256;
/// As many as that only after it often had so many.
const FIRST_BLOCKS: u32 = 64;
/// How often.
const TRIED: u8 = 4;

/// \[OWNER-ONLY\] One thread's.
pub(super) struct RemoteCache {
    blocks: *mut Slot,
    len: u32,
    bytes: u32,
    /// Blocks that there is room for; 0: there is no array.
    most: u32,
    /// How often a small one was full.
    full: u8,
    /// Empty batches, for what is sent in batches.
    pub(super) batches: BatchPool,
}

/// What became of a block that another owner has.
#[derive(PartialEq)]
pub(crate) enum Buffered {
    /// Nothing: it is our own, or there is no remote cache.
    No,
    /// It is in the remote cache.
    Yes,
    /// It is, and that is full now: it must be sent off.
    Full,
}

impl RemoteCache {
    /// Puts a block in, if there is an array, which is not full.
    #[inline(always)]
    pub(super) fn hold(&mut self, block: *mut u8, class: usize) -> Buffered {
        if self.blocks.is_null() {
            return Buffered::No;
        }
        // SAFETY: [OWNER-ONLY] below the most blocks, it is ours to write.
        unsafe { self.blocks.add(self.len as usize).write(block) };
        self.len += 1;
        self.bytes += size_class::size(class) as u32;
        let full = self.len == self.most || self.bytes >= MAX_BYTES;
        if full { Buffered::Full } else { Buffered::Yes }
    }

    /// Sends off what is in it. Returns how many bytes.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\] What was put in are free blocks.
    pub(super) unsafe fn send(&mut self) -> usize {
        let len = core::mem::take(&mut self.len);
        let bytes = core::mem::take(&mut self.bytes);
        if len != 0 {
            // SAFETY: so many slots are filled. [LIVE-PINS-SPAN] by the caller.
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

    /// Sees to it that there is an array. False if there is no memory for it.
    #[cold]
    pub(super) fn ensure_array(&mut self) -> bool {
        !self.blocks.is_null() || self.resize(FIRST_BLOCKS)
    }

    /// Gets an array for so many blocks instead of the one that there is, which is
    /// empty.
    #[cold]
    fn resize(&mut self, most: u32) -> bool {
        let Some(blocks) = metadata::alloc(array(most)) else { return false };
        self.free_array();
        self.blocks = blocks.as_ptr().cast();
        self.most = most;
        true
    }

    /// Gives the array back; nothing is in it.
    pub(super) fn free_array(&mut self) {
        let blocks = core::mem::replace(&mut self.blocks, ptr::null_mut());
        if let Some(blocks) = NonNull::new(blocks) {
            // SAFETY: [OWNER-ONLY] it came from the pool, for so many blocks.
            unsafe { metadata::free(blocks.cast(), array(self.most)) };
        }
        self.most = 0;
    }
}

/// Bytes of the array for so many blocks.
const fn array(most: u32) -> usize {
    most as usize * size_of::<Slot>()
}

//! The remote queue of a heap: a lock-free stack of batches of remote frees.
//!
//! Any thread may push a batch. Batches are taken only all at once, so no batch is
//! ever popped singly, and a reused batch cannot corrupt a push (no ABA).
//!
//! ```text
//!  head   null                        open, empty
//!         batch ──► batch ──► null    open, newest batch first
//!         CLOSED                      no owner: the sender takes the lock instead
//! ```

use core::ptr::{self, NonNull};

use crate::base::ordering;
use crate::base::sync::{self, AtomicPtr, AtomicU32, Guarded};

/// Maximum number of blocks in a batch: a batch is half a KiB.
#[cfg(not(strata_loom))]
pub(crate) const BATCH_BLOCKS: usize = 62;
/// Small, for the models.
#[cfg(strata_loom)]
pub(crate) const BATCH_BLOCKS: usize = 2;

/// A batch of blocks. It is in one place only: with the thread that fills it,
/// in one remote queue, with the thread that drains it, or on a list of empty
/// batches \[BATCH-ONE-PLACE\].
#[repr(C)]
pub(crate) struct Batch {
    contents: Guarded<BatchContents>,
}

impl BatchContents {
    /// Adds a block. Returns whether the batch is full now.
    ///
    /// # Panics
    /// The batch was full.
    #[inline(always)]
    pub(crate) fn add(&mut self, block: *mut u8) -> bool {
        self.blocks[self.len] = block;
        // In the child of a fork, the entries below the length are filled.
        sync::in_order();
        self.len += 1;
        self.len == BATCH_BLOCKS
    }

    /// Removes the blocks for which `wants` returns true.
    #[inline]
    pub(crate) fn extract(&mut self, mut wants: impl FnMut(*mut u8) -> bool) {
        let mut left = 0;
        for at in 0..self.len.min(BATCH_BLOCKS) {
            let block = self.blocks[at];
            if !wants(block) {
                self.blocks[left] = block;
                left += 1;
            }
        }
        self.len = left;
    }
}

/// The contents of a batch.
#[repr(C)]
pub(crate) struct BatchContents {
    /// The batch pushed before this one, or the next one of a list of batches.
    pub(crate) next: *mut Batch,
    /// Number of filled entries of `blocks`.
    pub(crate) len: usize,
    pub(crate) blocks: [*mut u8; BATCH_BLOCKS],
}

impl Batch {
    /// Runs `f` on the contents.
    ///
    /// # Safety
    /// \[BATCH-ONE-PLACE\] The caller holds the batch.
    #[inline]
    pub(crate) unsafe fn with<R>(&self, f: impl FnOnce(&mut BatchContents) -> R) -> R {
        // SAFETY: [BATCH-ONE-PLACE] no other thread holds this batch.
        self.contents.with(|contents| f(unsafe { &mut *contents }))
    }
}

/// The stack of batches pushed to one owner.
pub(crate) struct RemoteQueue {
    head: AtomicPtr<Batch>,
    /// About how many batches were pushed since they were last taken.
    depth: AtomicU32,
}

/// The queue is closed: the sender returns the blocks under the lock of the heap,
/// or sends them on.
pub(crate) struct Closed;

const fn closed() -> *mut Batch {
    ptr::without_provenance_mut(1)
}

impl RemoteQueue {
    pub(crate) const fn new() -> Self {
        RemoteQueue { head: AtomicPtr::new(ptr::null_mut()), depth: AtomicU32::new(0) }
    }

    /// Pushes a batch. Returns about how many batches wait now.
    pub(crate) fn push(&self, batch: NonNull<Batch>) -> Result<u32, Closed> {
        let mut head = self.head.load(ordering::remote_refused());
        loop {
            if head == closed() {
                return Err(Closed);
            }
            // SAFETY: [BATCH-ONE-PLACE] the batch is ours until it is pushed.
            unsafe { batch.as_ref().with(|contents| contents.next = head) };
            match self.head.compare_exchange_weak(
                head,
                batch.as_ptr(),
                ordering::remote_push(),
                ordering::remote_refused(),
            ) {
                Ok(_) => return Ok(self.depth.fetch_add(1, ordering::remote_depth()) + 1),
                Err(seen) => head = seen,
            }
        }
    }

    /// Returns whether there seem to be batches.
    #[inline]
    pub(crate) fn has_batches(&self) -> bool {
        let head = sync::peek(&self.head, ordering::remote_peek());
        !head.is_null() && head != closed()
    }

    /// Returns whether batches are refused. The caller holds the owner's lock;
    /// a remote queue is closed only under that lock.
    pub(super) fn is_closed(&self) -> bool {
        sync::peek(&self.head, ordering::remote_peek()) == closed()
    }

    /// Takes all batches as a list, newest first; null if there are none. The
    /// caller holds the owner's lock, so the queue is not closed meanwhile.
    pub(crate) fn take_all(&self) -> *mut Batch {
        if !self.has_batches() {
            return ptr::null_mut();
        }
        self.depth.store(0, ordering::remote_depth());
        self.head.swap(ptr::null_mut(), ordering::remote_take_all())
    }

    /// Refuses batches from now on. Takes those that came before.
    pub(crate) fn close(&self) -> *mut Batch {
        let taken = self.head.swap(closed(), ordering::remote_close());
        if taken == closed() { ptr::null_mut() } else { taken }
    }

    /// Accepts batches again, for a new owner. Publishes nothing: senders read
    /// the state of an owner under its lock.
    pub(crate) fn reopen(&self) {
        self.depth.store(0, ordering::remote_depth());
        self.head.swap(ptr::null_mut(), ordering::remote_reopen());
    }
}

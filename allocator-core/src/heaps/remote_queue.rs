//! Batches: blocks that belong to somebody else, pushed whole to the owner.
//!
//! An remote queue is a stack that anybody pushes on and that is only ever taken
//! whole, so a batch cannot come back under a push's feet (no ABA).
//!
//! ```text
//!  head   null      open, empty
//!         batch ──► batch ──► null
//!         CLOSED    no owner: whoever pushes looks the owner up again
//! ```

use core::ptr::{self, NonNull};

use crate::base::ordering;
use crate::base::sync::{self, AtomicPtr, AtomicU32, Guarded};

/// Blocks that one batch carries: a batch is half a KiB.
#[cfg(not(strata_loom))]
pub(crate) const BATCH_BLOCKS: usize = 62;
/// Small, for the models.
#[cfg(strata_loom)]
pub(crate) const BATCH_BLOCKS: usize = 2;

/// A batch of batches. In one place only: its filler's hands, one remote queue, its
/// drainer's hands, or a list of empty ones \[BATCH-ONE-PLACE\].
#[repr(C)]
pub(crate) struct Batch {
    contents: Guarded<BatchContents>,
}

impl BatchContents {
    /// Takes the blocks that somebody wants out of the batch.
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

/// What is in a batch.
#[repr(C)]
pub(crate) struct BatchContents {
    /// The batch pushed before this one, or the next in a list of batches.
    pub(crate) next: *mut Batch,
    /// How many of `blocks` are filled.
    pub(crate) len: usize,
    pub(crate) blocks: [*mut u8; BATCH_BLOCKS],
}

impl Batch {
    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        Batch {
            contents: Guarded::new(BatchContents {
                next: ptr::null_mut(),
                len: 0,
                blocks: [ptr::null_mut(); BATCH_BLOCKS],
            }),
        }
    }

    /// The contents, for the one who holds the batch.
    ///
    /// # Safety
    /// \[BATCH-ONE-PLACE\] The caller has the batch in its hands.
    #[inline]
    pub(crate) unsafe fn with<R>(&self, f: impl FnOnce(&mut BatchContents) -> R) -> R {
        // SAFETY: [BATCH-ONE-PLACE] nobody else has this batch.
        self.contents.with(|contents| f(unsafe { &mut *contents }))
    }
}

/// Where an owner's batches is put.
pub(crate) struct RemoteQueue {
    head: AtomicPtr<Batch>,
    /// About how many batches were pushed since the last taking.
    depth: AtomicU32,
}

/// The owner is gone; look it up again.
pub(crate) struct Closed;

#[cfg(not(strata_loom))]
const fn closed() -> *mut Batch {
    ptr::without_provenance_mut(1)
}

#[cfg(strata_loom)]
fn closed() -> *mut Batch {
    ptr::without_provenance_mut(1)
}

impl RemoteQueue {
    #[cfg(not(strata_loom))]
    pub(crate) const fn new() -> Self {
        RemoteQueue { head: AtomicPtr::new(ptr::null_mut()), depth: AtomicU32::new(0) }
    }

    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        RemoteQueue { head: AtomicPtr::new(ptr::null_mut()), depth: AtomicU32::new(0) }
    }

    /// Pushes a batch. Returns about how many batches now wait.
    pub(crate) fn push(&self, batch: NonNull<Batch>) -> Result<u32, Closed> {
        let mut head = self.head.load(ordering::remote_refused());
        loop {
            if head == closed() {
                return Err(Closed);
            }
            // SAFETY: [BATCH-ONE-PLACE] the batch is in our hands until it is pushed.
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

    /// Whether there seems to be batches.
    #[inline]
    pub(crate) fn has_batches(&self) -> bool {
        let head = sync::peek(&self.head, ordering::remote_peek());
        !head.is_null() && head != closed()
    }

    /// Whether batches is refused. Asked under the owner's lock, under which alone
    /// an remote queue is closed.
    pub(super) fn is_closed(&self) -> bool {
        sync::peek(&self.head, ordering::remote_peek()) == closed()
    }

    /// Takes all batches, as a list, newest first; null if there are none. The
    /// caller holds the owner's lock, so that the remote queue is not closed meanwhile.
    pub(crate) fn take_all(&self) -> *mut Batch {
        if !self.has_batches() {
            return ptr::null_mut();
        }
        self.depth.store(0, ordering::remote_depth());
        self.head.swap(ptr::null_mut(), ordering::remote_take_all())
    }

    /// Refuses batches from now on, and takes what came before.
    pub(crate) fn close(&self) -> *mut Batch {
        let taken = self.head.swap(closed(), ordering::remote_close());
        if taken == closed() { ptr::null_mut() } else { taken }
    }

    /// Takes batches again, for a new owner. Publishes nothing: what senders read
    /// of an owner they read under its lock.
    pub(crate) fn reopen(&self) {
        self.depth.store(0, ordering::remote_depth());
        self.head.swap(ptr::null_mut(), ordering::remote_reopen());
    }
}

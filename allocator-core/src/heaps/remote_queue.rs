//! Mail: blocks that belong to somebody else, posted whole to the owner.
//!
//! An inbox is a stack that anybody pushes on and that is only ever taken
//! whole, so a box cannot come back under a push's feet (no ABA).
//!
//! ```text
//!  head   null      open, empty
//!         box ──► box ──► null
//!         CLOSED    no owner: whoever posts looks the owner up again
//! ```

use core::ptr::{self, NonNull};

use crate::base::ordering;
use crate::base::sync::{self, AtomicPtr, AtomicU32, Guarded};

/// Blocks that one box carries: a box is half a KiB.
#[cfg(not(strata_loom))]
pub(crate) const BOX_BLOCKS: usize = 62;
/// Small, for the models.
#[cfg(strata_loom)]
pub(crate) const BOX_BLOCKS: usize = 2;

/// A box of mail. In one place only: its filler's hands, one inbox, its
/// drainer's hands, or a list of empty ones \[BOX-ONE-PLACE\].
#[repr(C)]
pub(crate) struct MailBox {
    contents: Guarded<Contents>,
}

impl Contents {
    /// Takes the blocks that somebody wants out of the box.
    #[inline]
    pub(crate) fn offer(&mut self, mut wants: impl FnMut(*mut u8) -> bool) {
        let mut left = 0;
        for at in 0..self.len.min(BOX_BLOCKS) {
            let block = self.blocks[at];
            if !wants(block) {
                self.blocks[left] = block;
                left += 1;
            }
        }
        self.len = left;
    }
}

/// What is in a box.
#[repr(C)]
pub(crate) struct Contents {
    /// The box posted before this one, or the next in a list of boxes.
    pub(crate) next: *mut MailBox,
    /// How many of `blocks` are filled.
    pub(crate) len: usize,
    pub(crate) blocks: [*mut u8; BOX_BLOCKS],
}

impl MailBox {
    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        MailBox {
            contents: Guarded::new(Contents {
                next: ptr::null_mut(),
                len: 0,
                blocks: [ptr::null_mut(); BOX_BLOCKS],
            }),
        }
    }

    /// The contents, for the one who holds the box.
    ///
    /// # Safety
    /// \[BOX-ONE-PLACE\] The caller has the box in its hands.
    #[inline]
    pub(crate) unsafe fn open<R>(&self, f: impl FnOnce(&mut Contents) -> R) -> R {
        // SAFETY: [BOX-ONE-PLACE] nobody else has this box.
        self.contents.with(|contents| f(unsafe { &mut *contents }))
    }
}

/// Where an owner's mail is put.
pub(crate) struct Inbox {
    head: AtomicPtr<MailBox>,
    /// About how many boxes were posted since the last taking.
    depth: AtomicU32,
}

/// The owner is gone; look it up again.
pub(crate) struct Closed;

#[cfg(not(strata_loom))]
const fn closed() -> *mut MailBox {
    ptr::without_provenance_mut(1)
}

#[cfg(strata_loom)]
fn closed() -> *mut MailBox {
    ptr::without_provenance_mut(1)
}

impl Inbox {
    #[cfg(not(strata_loom))]
    pub(crate) const fn new() -> Self {
        Inbox { head: AtomicPtr::new(ptr::null_mut()), depth: AtomicU32::new(0) }
    }

    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        Inbox { head: AtomicPtr::new(ptr::null_mut()), depth: AtomicU32::new(0) }
    }

    /// Posts a box. Returns about how many boxes now wait.
    pub(crate) fn post(&self, mail: NonNull<MailBox>) -> Result<u32, Closed> {
        let mut head = self.head.load(ordering::inbox_refused());
        loop {
            if head == closed() {
                return Err(Closed);
            }
            // SAFETY: [BOX-ONE-PLACE] the box is in our hands until it is posted.
            unsafe { mail.as_ref().open(|contents| contents.next = head) };
            match self.head.compare_exchange_weak(
                head,
                mail.as_ptr(),
                ordering::inbox_post(),
                ordering::inbox_refused(),
            ) {
                Ok(_) => return Ok(self.depth.fetch_add(1, ordering::hint()) + 1),
                Err(seen) => head = seen,
            }
        }
    }

    /// Whether there seems to be mail.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        let head = sync::peek(&self.head, ordering::hint());
        !head.is_null() && head != closed()
    }

    /// Whether mail is refused. Asked under the owner's lock, under which alone
    /// an inbox is closed.
    pub(crate) fn is_closed(&self) -> bool {
        sync::peek(&self.head, ordering::hint()) == closed()
    }

    /// Takes all boxes, as a list, newest first; null if there are none. The
    /// caller holds the owner's lock, so that the inbox is not closed meanwhile.
    pub(crate) fn take_all(&self) -> *mut MailBox {
        if !self.has_mail() {
            return ptr::null_mut();
        }
        self.depth.store(0, ordering::hint());
        self.head.swap(ptr::null_mut(), ordering::inbox_take())
    }

    /// Refuses mail from now on, and takes what came before.
    pub(crate) fn close(&self) -> *mut MailBox {
        let taken = self.head.swap(closed(), ordering::inbox_close());
        if taken == closed() { ptr::null_mut() } else { taken }
    }

    /// Takes mail again, for a new owner. Publishes nothing: what posters read
    /// of an owner they read under its lock.
    pub(crate) fn reopen(&self) {
        self.depth.store(0, ordering::hint());
        self.head.swap(ptr::null_mut(), ordering::hint());
    }
}

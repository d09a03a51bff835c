//! Memory whose free has to wait: a signal handler freed it, and what the handler
//! interrupted holds the lock that the free needs. It is linked through its own first
//! word, so that keeping it needs no memory and no lock. The interrupted slow path frees
//! it when it ends.
//!
//! ```text
//!  head ──► block ──► block ──► null      newest first; taken only as a whole
//! ```

use core::ptr::{self, NonNull};

use crate::base::misuse::{Location, Misuse, Report};
use crate::base::ordering;
use crate::base::sync::{AtomicPtr, Guarded};

/// The first word of memory that waits.
#[repr(transparent)]
pub(crate) struct Link {
    next: Guarded<*mut Link>,
}

/// A list of memory that waits.
pub(crate) struct Later {
    head: AtomicPtr<Link>,
}

impl Link {
    #[cfg(strata_loom)]
    pub(crate) fn new() -> Self {
        Link { next: Guarded::new(ptr::null_mut()) }
    }
}

impl Later {
    pub(crate) const fn new() -> Self {
        Later { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Whether nothing seems to wait.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(ordering::later_peek()).is_null()
    }

    /// Keeps memory.
    ///
    /// # Safety
    /// It is the caller's, aligned for a pointer, and no longer used.
    #[cold]
    pub(crate) unsafe fn keep(&self, at: NonNull<Link>) {
        let mut head = self.head.load(ordering::later_peek());
        loop {
            // SAFETY: by the caller, until it is on the list.
            unsafe { at.as_ref().next.with(|next| *next = head) };
            match self.head.compare_exchange_weak(
                head,
                at.as_ptr(),
                ordering::later_keep(),
                ordering::later_peek(),
            ) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// Takes all that waits, and calls `f` for each.
    #[cold]
    pub(crate) fn take_all(&self, mut f: impl FnMut(NonNull<Link>)) {
        let mut list = self.head.swap(ptr::null_mut(), ordering::later_take());
        while let Some(at) = NonNull::new(list) {
            // The link is cleared: hardened mode expects that free memory is zero.
            // SAFETY: it was kept, and only this thread took it.
            list = unsafe { at.as_ref().next.with(|next| next.replace(ptr::null_mut())) };
            f(at);
        }
    }
}

/// Blocks that wait.
pub(crate) static BLOCKS: Later = Later::new();

/// Keeps a freed block until the calling thread holds no lock.
///
/// # Safety
/// The block is no longer used.
#[cold]
pub(crate) unsafe fn keep_block(block: *mut u8) {
    let at = block.cast::<Link>();
    if !at.is_aligned() {
        let location = Location { span: 0, block: 0 };
        return Report { what: Misuse::Interior, ptr: block, location, size: 0 }.note();
    }
    if let Some(at) = NonNull::new(at) {
        crate::base::shadow::handed_out(block, size_of::<Link>());
        // SAFETY: by the caller; every block has room for a pointer, and is aligned for one.
        unsafe { BLOCKS.keep(at) };
    }
}

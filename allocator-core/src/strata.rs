//! The face of the allocator: `GlobalAlloc`, options, numbers.

use core::alloc::{GlobalAlloc, Layout};

use crate::alloc;
use crate::free;
use crate::helper;
use crate::huge;
use crate::realloc;
use crate::stats::{self, Stats};

/// The allocator of the process. All values of this type are handles to the
/// same heap.
///
/// Nothing here panics or unwinds. An allocation that the system cannot serve
/// is null. A free of a pointer that is not a block's, or with a layout that
/// the block was not made with, ends the process with one line on standard
/// error: at once where the pointer or the layout gives it away, else when the
/// block leaves the thread's magazine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strata {
    guards: bool,
}

impl Strata {
    /// A handle to the allocator.
    #[must_use]
    pub const fn new() -> Self {
        Strata { guards: false }
    }

    /// The same, with an inaccessible stretch of addresses behind each block
    /// above 1 MiB: running over its end (rounded up to a page) faults.
    #[must_use]
    pub const fn with_huge_guards(self) -> Self {
        Strata { guards: true }
    }

    /// Numbers about the whole process.
    #[must_use]
    pub fn stats() -> Stats {
        stats::read()
    }

    /// Gives free memory back to the system now, as far as it is free in whole
    /// pages. Returns how many bytes.
    pub fn purge() -> usize {
        helper::give_back_all()
    }

    /// Puts away what the calling thread keeps for itself, up to 64 KiB of free
    /// blocks and what was lent to it besides: for a thread that is going to sleep,
    /// who knows for how long. It costs some nanoseconds if there is nothing, else
    /// about as much as it cost to fill the magazines; the next allocations fill them
    /// anew. Made for hooks such as tokio's `on_thread_park`.
    pub fn thread_idle() {
        helper::thread_idle();
    }

    #[inline]
    fn prepare(self, size: usize) {
        if self.guards && size > crate::medium::MEDIUM_MAX {
            huge::guard_from_now_on(true);
        }
    }
}

// SAFETY: blocks are as large and as aligned as their layouts ask, are handed
// out once at a time, keep their contents until given back, and nothing unwinds.
unsafe impl GlobalAlloc for Strata {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.prepare(layout.size());
        // SAFETY: layouts are valid.
        unsafe { alloc::alloc(layout.size(), layout.align()) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { free::free(ptr, layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.prepare(layout.size());
        // SAFETY: layouts are valid.
        unsafe { alloc::alloc_zeroed(layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.prepare(new_size);
        // SAFETY: by the caller.
        unsafe { realloc::realloc(ptr, layout.size(), layout.align(), new_size) }
    }
}

//! The face of the allocator: `GlobalAlloc`, options, numbers.

use core::alloc::{GlobalAlloc, Layout};

use crate::alloc;
use crate::explain::{self, Explanation};
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

    /// Says what the physical memory of the process is held for, in bytes that
    /// add up to all of it; printed, it is a table. Asks the system about every
    /// page, so it takes some milliseconds a GiB.
    #[must_use]
    pub fn explain() -> Explanation {
        explain::read()
    }

    /// Gives free memory back to the system now, as far as it is free in whole
    /// pages outside of spans in use. Returns how many bytes.
    pub fn purge() -> usize {
        helper::give_back_all()
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

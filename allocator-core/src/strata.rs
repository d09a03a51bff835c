//! The face of the allocator: `GlobalAlloc`, options, numbers.

use core::alloc::{GlobalAlloc, Layout};

use crate::alloc;
use crate::background::helper;
use crate::free;
use crate::pages::committed;
use crate::process::config::Config;
use crate::realloc;
use crate::reclaim::limit;
use crate::report::explain::{self, Explanation};
use crate::report::stats::{self, Stats};

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
    config: Config,
}

impl Strata {
    /// A handle to the allocator.
    #[must_use]
    pub const fn new() -> Self {
        Strata { config: Config::new() }
    }

    /// A handle to the allocator, with options. They count if the first
    /// allocation of the process goes through this handle, as it does where
    /// this is the global allocator; later ones do not look at theirs. The
    /// environment variable `STRATA_CONF` wins, key by key.
    #[must_use]
    pub const fn with_config(config: Config) -> Self {
        Strata { config }
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
    /// pages. Returns how many bytes.
    pub fn purge() -> usize {
        helper::purge_all()
    }

    /// Puts away what the calling thread keeps for itself, up to 64 KiB of free
    /// blocks and what was lent to it besides: for a thread that is going to sleep,
    /// who knows for how long. It costs some nanoseconds if there is nothing, else
    /// about as much as it cost to fill the magazines; the next allocations fill them
    /// anew. Made for hooks such as tokio's `on_thread_park`.
    pub fn thread_idle() {
        helper::thread_idle();
    }

    /// Sets the limit above which all free memory goes back, and the program
    /// is told, in committed bytes ([`Stats::committed_bytes`]); 0: there is
    /// no such limit. If there is more already, that is seen soon.
    pub fn set_limit(bytes: usize) {
        committed::set_limit(bytes);
    }

    /// Sets the limit above which allocations fail, in committed bytes; 0:
    /// there is no such limit. What is there already stays. Frees always work,
    /// and so do allocations from memory that is held.
    pub fn set_hard_limit(bytes: usize) {
        committed::set_hard_limit(bytes);
    }

    /// Has a function called, instead of the one before, when the committed
    /// bytes stay above the limit although all free memory went back. It gets
    /// these bytes, and is called once: again only after they were below seven
    /// eighths of the limit.
    ///
    /// It is called in the thread and within the allocation that went above the
    /// limit, with no lock held, and may allocate and free; allocations in it do
    /// not call it. It must not panic: that ends the process.
    pub fn on_limit(callback: fn(committed: usize)) {
        limit::call(callback);
    }
}

// SAFETY: blocks are as large and as aligned as their layouts ask, are handed
// out once at a time, keep their contents until given back, and nothing unwinds.
unsafe impl GlobalAlloc for Strata {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: layouts are valid.
        unsafe { alloc::alloc(layout.size(), layout.align(), &self.config) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { free::free(ptr, layout.size(), layout.align()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: layouts are valid.
        unsafe { alloc::alloc_zeroed(layout.size(), layout.align(), &self.config) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { realloc::realloc(ptr, layout.size(), layout.align(), new_size) }
    }
}

//! The public entry point: `GlobalAlloc`, options, statistics, limits.

use core::alloc::{GlobalAlloc, Layout};

use crate::background::helper;
#[cfg(all(feature = "hardened", not(feature = "system")))]
use crate::hardened::layouts::{self as alloc, self as free, self as realloc};
use crate::pages::cgroup::Supply;
use crate::pages::committed::COMMITTED;
use crate::process::config::Config;
use crate::profile::capture::Unwinder;
use crate::profile::rate::{self, For};
use crate::reclaim::failure::{self, Failure};
use crate::reclaim::limit::{self, Exceeded};
use crate::reclaim::pressure;
use crate::report::explain::{self, Explanation};
use crate::report::heap_profile::{self, ProfiledStack};
use crate::report::metrics::{self, Metrics};
use crate::report::stats::{self, Stats};
use crate::scope::{self, Scope};
#[cfg(feature = "system")]
use crate::system::{self as alloc, self as free, self as realloc};
use crate::thread::switch;
#[cfg(not(any(feature = "system", feature = "hardened")))]
use crate::{alloc, free, realloc};

/// The allocator. Make a `static` of this type and declare it as the
/// `#[global_allocator]` of the program.
///
/// The process has one allocator. All values of this type are handles to it, and a
/// block may be freed through any of them. The value holds only the options,
/// which count for the handle that makes the first allocation of the process.
///
/// # Blocks
///
/// A block is at least as large and at least as aligned as its layout says. Any
/// thread may free it.
///
/// # Errors
///
/// An allocation that the system or [`Strata::set_hard_limit`] refuses returns
/// null, and so does a reallocation, which then leaves the block as it was.
///
/// Misuse that is noticed ends the process with `SIGABRT`, after one line on
/// standard error that names the pointer: freeing a pointer that is not a block's,
/// freeing a block twice, freeing it with a layout that it was not made with. It is
/// noticed at once where the pointer or the layout shows it, otherwise when the
/// block leaves the thread's cache, or never: `docs/misuse.md` has the table.
///
/// # Panics
///
/// Never. No function of this type unwinds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strata {
    config: Config,
}

impl Strata {
    /// A handle with default options.
    #[must_use]
    pub const fn new() -> Self {
        Strata { config: Config::new() }
    }

    /// A handle with options.
    ///
    /// The options take effect with the first allocation of the process, if it is
    /// made through this handle, as it is if this is the global allocator.
    /// Otherwise they are ignored. An option that the environment variable
    /// `STRATA_CONF` sets overrides the one here.
    #[must_use]
    pub const fn with_config(config: Config) -> Self {
        Strata { config }
    }

    /// Statistics of the whole process. Reading them allocates nothing and takes no
    /// lock. The time it takes grows with the number of threads.
    #[must_use]
    pub fn stats() -> Stats {
        stats::read()
    }

    /// A breakdown of the physical memory of the process by what it is used for.
    /// The rows add up to all of it; printed, it is a table.
    ///
    /// Allocates nothing and holds no lock meanwhile. It asks the system about
    /// every page, which takes some milliseconds for each GiB of memory.
    #[must_use]
    pub fn explain() -> Explanation {
        explain::read()
    }

    /// All numbers of the process, for other programs: as JSON, or as a page for Prometheus. They
    /// are those of [`Strata::stats`] and [`Strata::explain`], and take as long as these. For a
    /// page without what is resident, and without a system call: `Metrics::from(Strata::stats())`.
    #[must_use]
    pub fn metrics() -> Metrics {
        metrics::read()
    }

    /// Returns all free memory to the system now, in whole pages. The calling
    /// thread flushes its cache first. Other threads are asked to flush theirs, and
    /// do so when they next free a block.
    ///
    /// Returns the number of bytes that went back to the system.
    pub fn purge() -> usize {
        helper::purge_all()
    }

    /// Flushes the free blocks that the calling thread caches, at most 64 KiB and
    /// what it borrowed beyond that. Call it in a thread that is about to sleep for
    /// an unknown time, for example in tokio's `on_thread_park`.
    ///
    /// It costs some nanoseconds if there is nothing to flush, otherwise about
    /// as much as it cost to fill the cache. The next allocations of the thread fill
    /// it again.
    pub fn thread_idle() {
        helper::thread_idle();
    }

    /// Sets the soft limit, in committed bytes ([`Stats::committed_bytes`]); 0
    /// removes it. Above it, all free memory is returned to the system, and if that
    /// is not enough, the function given to [`Strata::on_limit`] is called.
    ///
    /// If more is committed already, that is noticed at one of the next allocations
    /// that need memory from outside of the thread's cache.
    pub fn set_limit(bytes: usize) {
        COMMITTED.set_limit(bytes);
    }

    /// Sets the hard limit, in committed bytes ([`Stats::committed_bytes`]); 0
    /// removes it. An allocation that would exceed it first returns all free memory
    /// to the system, and returns null if that is not enough.
    ///
    /// What is committed already stays, even if it is more. Frees always succeed, and
    /// so do allocations from free memory that is committed.
    pub fn set_hard_limit(bytes: usize) {
        COMMITTED.set_hard_limit(bytes);
    }

    /// Sets the function to call when the committed bytes stay above the soft limit
    /// ([`Strata::set_limit`]) although all free memory was returned to the system.
    /// It replaces the previous one. Its argument is the number of committed bytes.
    ///
    /// It is called once, and again only after the committed bytes fell below seven
    /// eighths of the limit.
    ///
    /// It runs in the thread that exceeded the limit, at the end of that allocation,
    /// with no lock of the allocator held. It may allocate, free and fork; it is not
    /// called from within itself, nor by two threads at once. It must return: one that
    /// leaves by a jump is not called again, and a panic in it aborts the process.
    pub fn on_limit(callback: fn(committed: usize)) {
        limit::call(callback);
    }

    /// Like [`Strata::on_limit`], with a function that is told more: the limits, and when it
    /// displays what it is told, what memory is used for. Where both functions are set, both are
    /// called, this one last.
    pub fn on_limit_exceeded(callback: fn(&Exceeded)) {
        limit::call_with_more(callback);
    }

    /// Sets the function to call when there was no memory for a request, because of the hard limit or
    /// because the system had none, before the allocation returns null. It replaces the
    /// previous one.
    ///
    /// Without one, the first request that the hard limit refuses is reported on standard
    /// error, and to the file of [`Config::log_file`]: the [`Failure`] as it is displayed.
    ///
    /// It runs in the thread whose request failed, with no lock of the allocator held, and is
    /// not called from within itself, nor by two threads at once: of failures at the same time,
    /// one is told. It may free, and try to allocate. The thread may be anywhere in the program
    /// where it allocates: the function must not wait for a lock that is held there. It must
    /// return: one that leaves by a jump is not called again, and a panic in it aborts the process.
    pub fn on_failure(callback: fn(&Failure)) {
        failure::call(callback);
    }

    /// Sets the function to call when memory becomes short or scarce in the container or the
    /// system, and when it no longer is. It replaces the previous one.
    ///
    /// It is called once for each change, in a thread of the program: in
    /// [`Strata::check_pressure`], or at the end of an allocation or a reallocation that needed
    /// more than the thread's cache, with no lock of the allocator held. So a program that
    /// hardly allocates, or only from its caches, hears of it if a thread calls
    /// [`Strata::check_pressure`] from time to time, and not otherwise.
    ///
    /// It may allocate, free and fork; it is not called from within itself, nor by two threads at
    /// once. The thread may be anywhere in the program where it allocates: the function must not
    /// wait for a lock that is held there. It must return: one that leaves by a jump is not called
    /// again, and a panic in it aborts the process.
    pub fn on_pressure(callback: fn(supply: Supply)) {
        pressure::call(callback);
    }

    /// Looks how much memory there is in the container and the system, and calls the function
    /// given to [`Strata::on_pressure`] if that has changed. The allocator looks by itself while
    /// several threads free memory; without them, somebody must, such as `strata_alloc::watch`.
    ///
    /// It reads a few small files, which takes some ten microseconds.
    pub fn check_pressure() -> Supply {
        pressure::look()
    }

    /// Bytes between two samples of the heap profile, in the mean, unless you have reasons for
    /// another number.
    pub const PROFILE_BYTES: usize = 512 << 10;

    /// Switches the heap profile on: from now on one allocation in `bytes` bytes, in the mean, is
    /// recorded with its stack ([`Strata::PROFILE_BYTES`]). The other threads follow at their next
    /// free that they do, or when they next need memory from outside of their caches. They
    /// flush what they cache once.
    ///
    /// Until [`Strata::profile_stop`], each allocation and each free takes a longer path. A
    /// sampled block that is small takes a page. It takes a millisecond to switch.
    ///
    /// Read it with [`Strata::profile`]. The crate `strata-profile` makes files and pages of it,
    /// and has an unwinder for code without frame pointers.
    pub fn profile_start(bytes: usize) {
        heap_profile::start(bytes);
    }

    /// Switches the heap profile off. What was recorded stays, and is kept up to date: blocks that
    /// are freed later are no longer in use. Where the profile was off, nothing is counted.
    pub fn profile_stop() {
        heap_profile::stop();
    }

    /// The rate of the heap profile, in bytes. `None` while it is off.
    #[must_use]
    pub fn profile_rate() -> Option<usize> {
        heap_profile::rate()
    }

    /// What the heap profile has recorded so far, stack by stack. It takes no lock and allocates
    /// nothing. Numbers change meanwhile, unless no thread allocates.
    pub fn profile() -> impl Iterator<Item = ProfiledStack> {
        heap_profile::stacks()
    }

    /// The scopes that the heap profile has recorded anything in so far. What was allocated outside of
    /// all has the key `(none)`, and what belongs to scopes that there was no room for `(others)`:
    /// their sum is that of all stacks. It takes no lock and allocates nothing.
    pub fn profile_scopes() -> impl Iterator<Item = Scope> {
        scope::sampled()
    }

    /// Samples that the heap profile has dropped, since its tables were full: they have room for
    /// 6,144 stacks, counted once for each scope, and for at most 65,536 sampled blocks in use. Of
    /// too many stacks, the numbers are in one without frames instead.
    #[must_use]
    pub fn profile_dropped() -> usize {
        heap_profile::dropped()
    }

    /// Sets what follows stacks for the heap profile; `None`: frame pointers. Returns whether it
    /// did: then the one before is in use no more. It may not in a signal handler that interrupts
    /// the allocator. The unwinder is called with all signals blocked, by one thread at a
    /// time, on a stack of 128 KiB. It must not allocate, wait or unwind.
    #[must_use = "if it was not set, the one before is still in use"]
    pub fn profile_unwinder(unwinder: Option<Unwinder>) -> bool {
        heap_profile::set_unwinder(unwinder)
    }
}

/// Guarded sampling.
impl Strata {
    /// Bytes between two guarded blocks, in the mean, unless you have reasons for another number.
    pub const GUARDED_BYTES: usize = 1 << 20;

    /// Switches guarded sampling on: from now on of `bytes` bytes one block of at most 32 KiB, in
    /// the mean, stands alone between pages without access ([`Strata::GUARDED_BYTES`]). If the
    /// program uses it after its free, or beyond its end, the access faults; if it frees it twice,
    /// that is noticed at once. Either is reported on standard error, with the stacks of the
    /// allocation and of the free, and aborts the process. The other threads follow as for
    /// [`Strata::profile_start`].
    ///
    /// At most 1,000 blocks are guarded at a time, fewer where the process may have few mappings.
    /// With the first one a handler of `SIGSEGV` is set, which leaves all other faults to the one
    /// that the program had.
    ///
    /// Stacks are followed as for the heap profile: by frame pointers, or by what
    /// [`Strata::profile_unwinder`] sets.
    pub fn guarded_start(bytes: usize) {
        switch::set(For::Guards, bytes.max(1));
    }

    /// Switches guarded sampling off. Blocks that are guarded stay so until they are freed, and
    /// what was freed before is still without access.
    pub fn guarded_stop() {
        switch::set(For::Guards, 0);
    }

    /// The rate of guarded sampling, in bytes. `None` while it is off.
    #[must_use]
    pub fn guarded_rate() -> Option<usize> {
        Some(rate::get(For::Guards)).filter(|rate| *rate != 0)
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

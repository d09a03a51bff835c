//! What is tested: Strata, the C library, or the allocator on a fake system; and a fault
//! that is planted, to see that it is found.

use allocator_core::Strata;
#[cfg(not(strata_asan))]
use allocator_core::c_internals;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::locks::Mutex;

/// Largest blocks that a size class serves, and that are page runs.
const SMALL_MAX: usize = 32 << 10;
const MEDIUM_MAX: usize = 1 << 20;

const PAGE: usize = 4096;

/// What the subject counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// Bytes of live blocks, rounded up.
    pub live: usize,
    /// The part of it that no size class serves.
    pub large: usize,
    /// Bytes of free blocks in thread caches.
    pub cached: usize,
    /// Bytes of addresses.
    pub mapped: usize,
    /// Bytes that may hold memory.
    pub committed: usize,
    /// The part of it that is free.
    pub free: usize,
    /// Bytes of tables and records.
    pub metadata: usize,
}

/// What the subject says that memory is used for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Explained {
    /// Physical memory of the process.
    pub resident: usize,
    /// The sum of all rows.
    pub sum: usize,
    /// The part of it that is the subject's.
    pub own: usize,
}

/// An allocator that is tested. It serves only what the engine asks of it.
pub trait Subject: GlobalAlloc + Sync {
    /// What it counts; `None` if it does not say.
    fn numbers(&self) -> Option<Numbers> {
        None
    }

    /// What it says that memory is used for; `None` if it does not say.
    fn explained(&self) -> Option<Explained> {
        None
    }

    /// The sizes of its classes.
    fn classes(&self) -> Vec<usize> {
        Strata::stats().classes().iter().map(|class| class.block_bytes()).collect()
    }

    /// Bytes of a block of this layout that may be written.
    ///
    /// # Safety
    /// It is a live block.
    unsafe fn usable(&self, _: *mut u8, layout: Layout) -> usize {
        layout.size()
    }

    /// Returns free memory to the system.
    fn purge(&self) {}

    /// Flushes the cache of the calling thread.
    fn thread_idle(&self) {}

    /// Sets the soft limit.
    fn set_limit(&self, _: usize) {}

    /// Sets the hard limit. Returns whether there is one.
    fn set_hard_limit(&self, _: usize) -> bool {
        false
    }

    /// Makes `count` system calls fail, which these bits select, from the `nth` from now
    /// on. Returns false where they only fail in a thread with a filter.
    fn fail(&self, _calls: u8, _nth: u64, _count: u64) -> bool {
        false
    }

    /// System calls fail no longer. Returns how many failed.
    fn stop_failing(&self) -> u64 {
        0
    }
}

/// The bytes of the block that serves a layout, by the sizes of the classes.
pub(crate) fn block_bytes(classes: &[usize], layout: Layout) -> usize {
    let (size, align) = (layout.size(), layout.align());
    if size <= SMALL_MAX && align <= SMALL_MAX {
        let fits = |bytes: &&usize| **bytes >= size && (align <= 8 || bytes.is_multiple_of(align));
        if let Some(class) = classes.iter().find(fits) {
            return *class;
        }
    }
    size.next_multiple_of(PAGE)
}

/// Whether a layout's blocks are mappings of their own.
pub(crate) fn is_huge(layout: Layout) -> bool {
    layout.size() > MEDIUM_MAX || layout.align() > MEDIUM_MAX
}

/// Strata, through its Rust interface.
pub struct Rust(pub Strata);

impl Subject for Rust {
    fn numbers(&self) -> Option<Numbers> {
        let stats = Strata::stats();
        Some(Numbers {
            live: stats.live_bytes(),
            large: stats.large_bytes(),
            cached: stats.cached_bytes(),
            mapped: stats.mapped_bytes(),
            committed: stats.committed_bytes(),
            free: stats.free_bytes(),
            metadata: stats.metadata_bytes(),
        })
    }

    fn explained(&self) -> Option<Explained> {
        let all = Strata::explain();
        let other = all.bytes_of(allocator_core::Cause::Other);
        let sum = all.live_bytes() + all.causes().map(|(_, bytes)| bytes).sum::<usize>();
        Some(Explained { resident: all.resident_bytes(), sum, own: sum - other })
    }

    /// Under AddressSanitizer, only what the layout says.
    #[cfg(not(strata_asan))]
    unsafe fn usable(&self, ptr: *mut u8, _: Layout) -> usize {
        c_internals::usable(ptr).unwrap_or(0)
    }

    fn purge(&self) {
        Strata::purge();
    }

    fn thread_idle(&self) {
        Strata::thread_idle();
    }

    fn set_limit(&self, bytes: usize) {
        Strata::set_limit(bytes);
    }

    fn set_hard_limit(&self, bytes: usize) -> bool {
        Strata::set_hard_limit(bytes);
        true
    }
}

/// The process's `malloc`: the C library, where that is preloaded.
pub struct Malloc;

impl Subject for Malloc {
    /// All that is resident and not of files counts as its own.
    fn explained(&self) -> Option<Explained> {
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        let mut pages = text.split(' ').skip(1).map_while(|pages| pages.parse::<usize>().ok());
        let (resident, of_files) = (pages.next()? * PAGE, pages.next()? * PAGE);
        Some(Explained { resident, sum: resident, own: resident - of_files })
    }

    unsafe fn usable(&self, ptr: *mut u8, _: Layout) -> usize {
        // SAFETY: by the caller.
        unsafe { libc::malloc_usable_size(ptr.cast()) }
    }

    fn purge(&self) {
        // SAFETY: a plain call.
        unsafe { libc::malloc_trim(0) };
    }
}

/// A subject that hands out a live block once more, to show that this is found.
pub struct Planted<S> {
    inner: S,
    /// Allocations until then.
    left: AtomicU64,
    /// The last block that was handed out.
    last: Mutex<Option<(usize, Layout)>>,
}

impl<S> Planted<S> {
    /// Plants the fault in the allocation after so many that has the layout of the one
    /// before it, whose block is still live.
    #[must_use]
    pub fn new(inner: S, after: u64) -> Self {
        Planted { inner, left: AtomicU64::new(after + 1), last: Mutex::new(None) }
    }

    /// The last block, if it is handed out again now.
    fn again(&self, layout: Layout) -> Option<*mut u8> {
        let left = self.left.load(Ordering::Relaxed);
        if left > 1 {
            self.left.store(left - 1, Ordering::Relaxed);
        }
        // Not in a signal handler that interrupts this.
        let last = self.last.try_lock().ok()?;
        let (ptr, _) = last.filter(|(_, its)| left == 1 && *its == layout)?;
        self.left.store(0, Ordering::Relaxed);
        Some(ptr as *mut u8)
    }

    fn note(&self, last: Option<(*mut u8, Layout)>) {
        if let Ok(mut place) = self.last.try_lock() {
            *place = last.map(|(ptr, layout)| (ptr as usize, layout));
        }
    }
}

// SAFETY: it is as sound as the inner one, except on purpose.
unsafe impl<S: GlobalAlloc> GlobalAlloc for Planted<S> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(ptr) = self.again(layout) {
            return ptr;
        }
        // SAFETY: by the caller.
        let ptr = unsafe { self.inner.alloc(layout) };
        self.note((!ptr.is_null()).then_some((ptr, layout)));
        ptr
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.note(None);
        // SAFETY: by the caller.
        unsafe { self.inner.dealloc(ptr, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        self.note(None);
        // SAFETY: by the caller.
        unsafe { self.inner.realloc(ptr, layout, new) }
    }
}

impl<S: Subject> Subject for Planted<S> {
    fn numbers(&self) -> Option<Numbers> {
        self.inner.numbers()
    }

    fn explained(&self) -> Option<Explained> {
        self.inner.explained()
    }

    fn purge(&self) {
        self.inner.purge();
    }

    fn thread_idle(&self) {
        self.inner.thread_idle();
    }

    fn set_limit(&self, bytes: usize) {
        self.inner.set_limit(bytes);
    }

    fn set_hard_limit(&self, bytes: usize) -> bool {
        self.inner.set_hard_limit(bytes)
    }
}

/// Makes `GlobalAlloc` of a wrapper's field.
macro_rules! forward {
    ($type:ty, $inner:expr) => {
        // SAFETY: as sound as what it calls.
        unsafe impl GlobalAlloc for $type {
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                // SAFETY: by the caller.
                unsafe { $inner(self).alloc(layout) }
            }
            unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
                // SAFETY: by the caller.
                unsafe { $inner(self).dealloc(ptr, layout) }
            }
            unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
                // SAFETY: by the caller.
                unsafe { $inner(self).alloc_zeroed(layout) }
            }
            unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new: usize) -> *mut u8 {
                // SAFETY: by the caller.
                unsafe { $inner(self).realloc(ptr, layout, new) }
            }
        }
    };
}

forward!(Rust, |it: &Rust| it.0);
forward!(Malloc, |_: &Malloc| System);

/// The environment variable that plants a fault: the number of allocations before it.
pub const PLANT: &str = "TORTURE_PLANT";

/// Strata, with a fault if the environment asks for one.
///
/// # Panics
/// If the variable is no number.
#[must_use]
pub fn strata() -> &'static dyn Subject {
    match std::env::var(PLANT) {
        Ok(after) => {
            let after = after.parse().unwrap_or_else(|_| panic!("{PLANT}={after}?"));
            Box::leak(Box::new(Planted::new(Rust(Strata::new()), after)))
        }
        Err(_) => {
            static RUST: Rust = Rust(Strata::new());
            &RUST
        }
    }
}

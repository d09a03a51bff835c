//! A global allocator that counts allocations, and how many blocks are freed by
//! another thread.
//!
//! Each block has a header with the id of the thread that allocated it. Only
//! the server with the feature `count` uses it; it is not used for timing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static REALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREES: AtomicU64 = AtomicU64::new(0);
static REMOTE_FREES: AtomicU64 = AtomicU64::new(0);
static NEXT_THREAD: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// This thread's id; 0 until first needed. Const-initialized and without a
    /// destructor, so that reading it never allocates.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Counts since program start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks allocated.
    pub allocations: u64,
    /// Blocks resized; not included in the allocations.
    pub reallocations: u64,
    /// Blocks freed.
    pub frees: u64,
    /// Blocks freed by a thread that did not allocate them.
    pub remote_frees: u64,
}

/// The counts so far.
pub fn counts() -> Counts {
    Counts {
        allocations: ALLOCATIONS.load(Relaxed),
        reallocations: REALLOCATIONS.load(Relaxed),
        frees: FREES.load(Relaxed),
        remote_frees: REMOTE_FREES.load(Relaxed),
    }
}

/// The system allocator with counters.
pub struct Counting;

fn thread() -> u64 {
    THREAD.with(|mark| {
        if mark.get() == 0 {
            mark.set(NEXT_THREAD.fetch_add(1, Relaxed));
        }
        mark.get()
    })
}

/// Offset of the block from the start of the system's block: a multiple of the
/// alignment, with room for the thread id.
fn header(layout: Layout) -> usize {
    layout.align().max(16)
}

/// `layout` with the header in front, or `None` on overflow.
fn whole(layout: Layout, size: usize) -> Option<Layout> {
    let size = size.checked_add(header(layout))?;
    Layout::from_size_align(size, header(layout)).ok()
}

/// Writes the thread id at `base` and returns the block after the header.
///
/// # Safety
///
/// `base` is null or starts at least `header(layout)` writable bytes that are
/// aligned for a `u64`.
unsafe fn finish(base: *mut u8, layout: Layout) -> *mut u8 {
    if base.is_null() {
        return base;
    }
    // SAFETY: the caller passes a base with room for the header.
    unsafe {
        base.cast::<u64>().write(thread());
        base.add(header(layout))
    }
}

// SAFETY: every block comes from `System` with a layout that has `layout`'s
// alignment and room for the header and the block, and is returned to it with
// the same layout; the header's size is a multiple of the alignment.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(whole) = whole(layout, layout.size()) else {
            return std::ptr::null_mut();
        };
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: `whole` is not of size zero and has room for the header.
        unsafe { finish(System.alloc(whole), layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(whole) = whole(layout, layout.size()) else {
            return std::ptr::null_mut();
        };
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: as in `alloc`; the bytes after the header stay zero.
        unsafe { finish(System.alloc_zeroed(whole), layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        FREES.fetch_add(1, Relaxed);
        // SAFETY: the block came from this allocator with this layout, so the
        // header is in front of it, and `whole` succeeded for it before.
        unsafe {
            let base = block.sub(header(layout));
            if base.cast::<u64>().read() != thread() {
                REMOTE_FREES.fetch_add(1, Relaxed);
            }
            let size = layout.size() + header(layout);
            System.dealloc(base, Layout::from_size_align_unchecked(size, header(layout)));
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (Some(old), Some(new)) = (whole(layout, layout.size()), whole(layout, new_size)) else {
            return std::ptr::null_mut();
        };
        REALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the block came from this allocator with this layout; `new`
        // has the same alignment and is not of size zero. The header moves with
        // the block, which keeps its first thread's id.
        unsafe {
            let base = System.realloc(block.sub(header(layout)), old, new.size());
            if base.is_null() { base } else { base.add(header(layout)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counters belong to the process; no other test of this crate uses
    /// them.
    #[test]
    fn remote_frees_are_told_from_local_ones() {
        let layout = Layout::from_size_align(100, 64).unwrap();
        let before = counts();
        // SAFETY: the layout is not of size zero; each block is freed once with
        // its current layout.
        unsafe {
            let local = Counting.alloc(layout);
            assert_eq!(local.addr() % 64, 0);
            local.write_bytes(7, 100);
            let local = Counting.realloc(local, layout, 1000);
            assert_eq!((local.read(), local.add(99).read()), (7, 7));
            let grown = Layout::from_size_align(1000, 64).unwrap();
            Counting.dealloc(local, grown);

            let zeroed = Counting.alloc_zeroed(layout);
            assert!((0..100).all(|i| zeroed.add(i).read() == 0));
            let address = zeroed.expose_provenance();
            std::thread::spawn(move || {
                Counting.dealloc(std::ptr::with_exposed_provenance_mut(address), layout);
            })
            .join()
            .unwrap();
        }
        let after = counts();
        assert_eq!(after.allocations - before.allocations, 2);
        assert_eq!(after.reallocations - before.reallocations, 1);
        assert_eq!(after.frees - before.frees, 2);
        assert_eq!(after.remote_frees - before.remote_frees, 1);
    }
}

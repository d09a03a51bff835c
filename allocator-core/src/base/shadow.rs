//! What AddressSanitizer knows of blocks, in a build for it (`--cfg strata_asan`): a block can
//! be accessed, as far as its layout says, while the program has it. All other memory of the
//! window cannot, by anyone. So it finds what a program does to a block that it has freed, or
//! beside one; and what the allocator itself does to blocks, unless it says so here first.
//!
//! In every other build, nothing is done.

#[cfg(not(strata_asan))]
mod door {
    /// The program gets a block of `size` bytes; null if it gets none. Returns the block.
    #[inline(always)]
    pub(crate) fn handed_out(block: *mut u8, _size: usize) -> *mut u8 {
        block
    }

    /// Nobody accesses these bytes until they are handed out.
    #[inline(always)]
    pub(crate) fn taken_back(_at: *mut u8, _bytes: usize) {}
}

#[cfg(strata_asan)]
mod door {
    use core::ffi::c_void;

    unsafe extern "C" {
        fn __asan_poison_memory_region(at: *const c_void, bytes: usize);
        fn __asan_unpoison_memory_region(at: *const c_void, bytes: usize);
    }

    /// The program gets a block of `size` bytes; null if it gets none. Returns the block.
    pub(crate) fn handed_out(block: *mut u8, size: usize) -> *mut u8 {
        if !block.is_null() {
            // SAFETY: changes what the sanitizer knows, and nothing else.
            unsafe { __asan_unpoison_memory_region(block.cast(), size) };
        }
        block
    }

    /// Nobody accesses these bytes until they are handed out.
    pub(crate) fn taken_back(at: *mut u8, bytes: usize) {
        // SAFETY: as above.
        unsafe { __asan_poison_memory_region(at.cast(), bytes) };
    }
}

pub(crate) use door::*;

/// A block of `old` bytes becomes one of `new`: what it loses is given up first.
#[inline(always)]
pub(crate) fn shrinks(block: *mut u8, old: usize, new: usize) {
    taken_back(block.wrapping_add(new), old.saturating_sub(new));
}

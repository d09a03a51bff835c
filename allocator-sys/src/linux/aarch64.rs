//! What needs the machine's own instructions, on AArch64.

use core::arch::asm;

/// The address that the calling thread's local storage is counted from.
#[inline]
pub(super) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads the thread's register; no other effect.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer,
            options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// Where glibc (2.35 and later) keeps `__rseq_offset`; null elsewhere. The
/// reference is weak, so that the program starts without the symbol too.
#[inline]
pub(super) fn rseq_offset_ptr() -> *const isize {
    let place: *const isize;
    // SAFETY: reads one entry of the global offset table, which is constant
    // after the program's start.
    unsafe {
        asm!(".weak __rseq_offset",
            "adrp {place}, :got:__rseq_offset",
            "ldr {place}, [{place}, :got_lo12:__rseq_offset]",
            place = out(reg) place, options(pure, readonly, nostack, preserves_flags));
    }
    place
}

/// The 32 bits `offset` bytes from the thread pointer.
///
/// # Safety
///
/// They lie within the calling thread's static thread-local storage.
#[inline]
pub(super) unsafe fn thread_word(offset: isize) -> i32 {
    let place = thread_pointer().wrapping_add_signed(offset) as *const i32;
    // SAFETY: the caller vouches for the address. Volatile: the kernel
    // writes the word.
    unsafe { place.read_volatile() }
}

/// See [`crate::prefetch`].
#[inline(always)]
pub(super) fn prefetch(place: *const u8) {
    // SAFETY: a hint: no address makes it fail.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) place, options(readonly, nostack, preserves_flags));
    }
}

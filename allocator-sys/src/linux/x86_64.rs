//! What needs the machine's own instructions, on x86-64.

use core::arch::asm;

/// The address of the calling thread's control block.
#[inline]
pub(super) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the ABI of both C libraries keeps the block's own address in
    // its first word, where `fs` points; the read has no other effect.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) pointer,
            options(pure, readonly, nostack, preserves_flags));
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
            "mov {}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            out(reg) place, options(pure, readonly, nostack, preserves_flags));
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
    let word: i32;
    // SAFETY: the caller vouches for the address; the read has no other
    // effect. Not `pure`: the kernel writes the word.
    unsafe {
        asm!("mov {:e}, fs:[{}]", out(reg) word, in(reg) offset,
            options(readonly, nostack, preserves_flags));
    }
    word
}

/// See [`crate::prefetch`].
#[inline(always)]
pub(super) fn prefetch(place: *const u8) {
    // SAFETY: a hint: no address makes it fail.
    unsafe {
        asm!("prefetcht0 [{}]", in(reg) place, options(readonly, nostack, preserves_flags));
    }
}

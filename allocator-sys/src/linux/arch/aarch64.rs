//! Instructions specific to AArch64.

use core::arch::asm;
use core::ffi::c_long;

/// The thread pointer: the base address of the calling thread's local storage.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads the thread pointer register; no other effect.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer,
            options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// The address of glibc's `__rseq_offset` (2.35 and later), or null. The
/// reference is weak, so that the program also starts without the symbol.
#[inline]
pub(crate) fn rseq_offset_ptr() -> *const isize {
    let place: *const isize;
    // SAFETY: reads one entry of the global offset table, which is constant
    // after program start.
    unsafe {
        asm!(".weak __rseq_offset",
            "adrp {place}, :got:__rseq_offset",
            "ldr {place}, [{place}, :got_lo12:__rseq_offset]",
            place = out(reg) place, options(pure, readonly, nostack, preserves_flags));
    }
    place
}

/// The 32-bit word `offset` bytes from the thread pointer.
///
/// # Safety
///
/// The word lies within the calling thread's static thread-local storage.
#[inline]
pub(crate) unsafe fn thread_word(offset: isize) -> i32 {
    let place = thread_pointer().wrapping_add_signed(offset) as *const i32;
    // SAFETY: the caller guarantees that the address is valid. Volatile,
    // because the kernel writes the word.
    unsafe { place.read_volatile() }
}

/// See [`crate::prefetch`].
#[inline(always)]
pub(crate) fn prefetch(place: *const u8) {
    // SAFETY: a hint, which cannot fault whatever the address.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) place, options(readonly, nostack, preserves_flags));
    }
}

/// Makes a system call with up to six arguments. Returns the kernel's answer: a
/// result, or an error number negated. `errno` is not touched, and no function of
/// the C library is called, which a program might have replaced.
///
/// # Safety
///
/// As for the call: its pointers are valid, and what it changes is the caller's.
#[inline]
pub(crate) unsafe fn syscall(number: c_long, args: [usize; 6]) -> isize {
    let answer;
    // SAFETY: the kernel changes these registers only, and memory as the caller
    // allows.
    unsafe {
        asm!("svc 0",
            in("x8") number, inlateout("x0") args[0] as isize => answer,
            in("x1") args[1], in("x2") args[2], in("x3") args[3],
            in("x4") args[4], in("x5") args[5], options(nostack, preserves_flags));
    }
    answer
}

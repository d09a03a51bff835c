//! Instructions specific to x86-64.

use core::arch::asm;
use core::ffi::c_long;

/// The thread pointer: the address of the calling thread's control block.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: the ABI of both C libraries stores the block's own address in its
    // first word, at `fs:0`; the read has no other effect.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) pointer,
            options(pure, readonly, nostack, preserves_flags));
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
            "mov {}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            out(reg) place, options(pure, readonly, nostack, preserves_flags));
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
    let word: i32;
    // SAFETY: the caller guarantees that the address is valid; the read has no
    // other effect. Not `pure`, because the kernel writes the word.
    unsafe {
        asm!("mov {:e}, fs:[{}]", out(reg) word, in(reg) offset,
            options(readonly, nostack, preserves_flags));
    }
    word
}

/// See [`crate::prefetch`].
#[inline(always)]
pub(crate) fn prefetch(place: *const u8) {
    // SAFETY: a hint, which cannot fault whatever the address.
    unsafe {
        asm!("prefetcht0 [{}]", in(reg) place, options(readonly, nostack, preserves_flags));
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
        asm!("syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            out("rcx") _, out("r11") _, options(nostack, preserves_flags));
    }
    answer
}

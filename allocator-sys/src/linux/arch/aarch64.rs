//! Instructions specific to AArch64.

use core::arch::{asm, naked_asm};
use core::ffi::{c_long, c_void};

use crate::linux::registers::Registers;

/// The thread pointer: the base address of the calling thread's local storage.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads the thread pointer register; no other effect. It is said to read
    // memory, so that it is read again behind a call that writes memory: a coroutine
    // may be on another thread then.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) pointer,
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
            "adrp {place}, :got:__rseq_offset",
            "ldr {place}, [{place}, :got_lo12:__rseq_offset]",
            place = out(reg) place, options(pure, readonly, nostack, preserves_flags));
    }
    place
}

/// The dynamic section of the object that holds this code, pairs of a tag and a value;
/// null in a program that is linked statically.
#[inline]
pub(crate) fn dynamic_section() -> *const [usize; 2] {
    let place: *const [usize; 2];
    // SAFETY: as above.
    unsafe {
        asm!(".weak _DYNAMIC", ".hidden _DYNAMIC",
            "adrp {place}, :got:_DYNAMIC",
            "ldr {place}, [{place}, :got_lo12:_DYNAMIC]",
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

/// Starts a task with `clone`: it runs `run(start)` on the stack that ends at `stack`,
/// with that thread pointer. The kernel keeps its id in `task`. Returns the answer of the
/// system call.
///
/// The frame of `run` has no caller: its frame pointer and link register are 0.
///
/// # Safety
///
/// The stack and the thread block belong to the task until it ends.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn clone(
    flags: usize,
    stack: *mut u8,
    task: *mut u32,
    pointer: usize,
    run: extern "C" fn(*mut u8) -> !,
    start: *mut u8,
) -> isize {
    naked_asm!(
        "stp x4, x5, [x1, #-16]!",
        "mov x4, x2",
        "mov x8, #{number}",
        "svc #0",
        "cbz x0, 2f",
        "ret",
        "2:",
        "mov x29, xzr",
        "mov x30, xzr",
        "ldp x1, x0, [sp], #16",
        "blr x1",
        "brk #1",
        number = const libc::SYS_clone,
    )
}

/// Writes what compiled code expects at a thread pointer: nothing on this processor.
///
/// # Safety
///
/// The block at `pointer` is the caller's, and zero.
pub(crate) unsafe fn begin_thread_block(_pointer: *mut u8) {}

/// Unmaps the calling task's stack, and ends the task.
///
/// # Safety
///
/// The mapping is the task's, and nothing else in it is used.
pub(crate) unsafe fn unmap_and_exit(mapping: *mut u8, bytes: usize) -> ! {
    // SAFETY: by the caller. There is no stack after the first call, and none is used.
    unsafe {
        asm!("svc #0", "mov x0, xzr", "mov x8, #{exit}", "svc #0", "brk #1",
            exit = const libc::SYS_exit,
            in("x8") libc::SYS_munmap, in("x0") mapping, in("x1") bytes,
            options(noreturn, nostack));
    }
}

/// See [`crate::registers`].
#[inline(always)]
pub(crate) fn registers() -> Registers {
    let (instruction, stack, frame, link);
    // SAFETY: reads registers.
    unsafe {
        // The link first, as another result may be placed in its register.
        asm!("mov {link}, x30", "mov {frame}, x29", "mov {stack}, sp", "adr {instruction}, .",
            link = out(reg) link, frame = out(reg) frame, stack = out(reg) stack,
            instruction = out(reg) instruction,
            options(nomem, preserves_flags));
    }
    Registers { instruction, stack, frame, link }
}

/// Whether ThreadSanitizer's runtime is in the process.
pub(crate) fn has_thread_sanitizer() -> bool {
    let place: *const u8;
    // SAFETY: reads one entry of the global offset table, which is constant
    // after program start.
    unsafe {
        asm!(".weak __tsan_init",
            "adrp {place}, :got:__tsan_init",
            "ldr {place}, [{place}, :got_lo12:__tsan_init]",
            place = out(reg) place, options(pure, readonly, nostack, preserves_flags));
    }
    !place.is_null()
}

/// What a handler of a signal returns to, and the flag that says so: the kernel's own place.
pub(crate) fn signal_return() -> (usize, usize) {
    (0, 0)
}

/// Ends the process by an instruction that is never valid.
pub(crate) fn trap() -> ! {
    // SAFETY: the kernel ends the process here, or runs a handler of the program.
    unsafe { asm!("brk #1", options(noreturn, nomem, nostack)) }
}

/// Calls `f(argument)` with the stack pointer at `top`.
///
/// The frame pointer leads back to the caller's stack, for the return as for unwinders.
/// To debuggers this is a frame of a signal: anywhere else they would take a stack at
/// another address for a corrupt one.
///
/// # Safety
///
/// Below `top`, which is aligned to 16 bytes, there is enough memory that nobody uses.
/// `f` may be called with `argument`, and does not unwind.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn call_on_stack(
    argument: *mut c_void,
    f: unsafe extern "C" fn(*mut c_void),
    top: *mut u8,
) {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_signal_frame",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset w30, -8",
        ".cfi_offset w29, -16",
        "mov x29, sp",
        ".cfi_def_cfa w29, 16",
        "mov sp, x2",
        "blr x1",
        "mov sp, x29",
        ".cfi_def_cfa wsp, 16",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore w30",
        ".cfi_restore w29",
        "ret",
        ".cfi_endproc",
    );
}

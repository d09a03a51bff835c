//! Instructions specific to x86-64.

use core::arch::{asm, naked_asm};
use core::ffi::{c_long, c_void};

use crate::linux::registers::Registers;

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

/// The dynamic section of the object that holds this code, pairs of a tag and a value;
/// null in a program that is linked statically.
#[inline]
pub(crate) fn dynamic_section() -> *const [usize; 2] {
    let place: *const [usize; 2];
    // SAFETY: as above.
    unsafe {
        asm!(".weak _DYNAMIC", ".hidden _DYNAMIC",
            "mov {}, qword ptr [rip + _DYNAMIC@GOTPCREL]",
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

/// Starts a task with `clone`: it runs `run(start)` on the stack that ends at `stack`,
/// with that thread pointer. The kernel keeps its id in `task`. Returns the answer of the
/// system call.
///
/// The frame of `run` has no caller: its frame pointer is 0.
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
        "sub rsi, 16",
        "mov [rsi], r8",
        "mov r10, rdx",
        "mov r8, rcx",
        "mov eax, {number}",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2:",
        "xor ebp, ebp",
        "mov rax, [rsp]",
        "add rsp, 16",
        "mov rdi, r9",
        "call rax",
        "ud2",
        number = const libc::SYS_clone,
    )
}

/// Writes what compiled code expects at a thread pointer: the block's own address, and
/// the guard value of stack protectors.
///
/// # Safety
///
/// The block at `pointer` is the caller's, and zero.
pub(crate) unsafe fn begin_thread_block(pointer: *mut u8) {
    const OWN_ADDRESS: [usize; 2] = [0, 16];
    const STACK_GUARD: usize = 40;
    let guard: usize;
    // SAFETY: reads the calling thread's own guard; the block is the caller's.
    unsafe {
        asm!("mov {}, fs:[{at}]", out(reg) guard, at = const STACK_GUARD,
            options(readonly, nostack, preserves_flags));
        for at in OWN_ADDRESS {
            pointer.add(at).cast::<usize>().write(pointer.expose_provenance());
        }
        pointer.add(STACK_GUARD).cast::<usize>().write(guard);
    }
}

/// Unmaps the calling task's stack, and ends the task.
///
/// # Safety
///
/// The mapping is the task's, and nothing else in it is used.
pub(crate) unsafe fn unmap_and_exit(mapping: *mut u8, bytes: usize) -> ! {
    // SAFETY: by the caller. There is no stack after the first call, and none is used.
    unsafe {
        asm!("syscall", "xor edi, edi", "mov eax, {exit}", "syscall", "ud2",
            exit = const libc::SYS_exit,
            in("rax") libc::SYS_munmap, in("rdi") mapping, in("rsi") bytes,
            options(noreturn, nostack));
    }
}

/// See [`crate::registers`].
#[inline(always)]
pub(crate) fn registers() -> Registers {
    let (instruction, stack, frame);
    // SAFETY: reads registers.
    unsafe {
        asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp",
            out(reg) instruction, out(reg) stack, out(reg) frame,
            options(nomem, preserves_flags));
    }
    Registers { instruction, stack, frame, link: 0 }
}

/// Whether ThreadSanitizer's runtime is in the process.
pub(crate) fn has_thread_sanitizer() -> bool {
    let place: *const u8;
    // SAFETY: reads one entry of the global offset table, which is constant
    // after program start.
    unsafe {
        asm!(".weak __tsan_init",
            "mov {}, qword ptr [rip + __tsan_init@GOTPCREL]",
            out(reg) place, options(pure, readonly, nostack, preserves_flags));
    }
    !place.is_null()
}

/// What a handler of a signal returns to, and the flag that says so.
pub(crate) fn signal_return() -> (usize, usize) {
    const SA_RESTORER: usize = 0x0400_0000;
    // Behind the first instruction: unwinders look just before an address for its function.
    (return_from_signal as *const () as usize + 1, SA_RESTORER)
}

/// Returns from a handler of a signal. Unwinders and debuggers know such a place by the bytes of
/// the last two instructions.
#[unsafe(naked)]
extern "C" fn return_from_signal() {
    naked_asm!("nop", "mov rax, {number}", "syscall", number = const libc::SYS_rt_sigreturn)
}

/// Ends the process by an instruction that is never valid.
pub(crate) fn trap() -> ! {
    // SAFETY: the kernel ends the process here, or runs a handler of the program.
    unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
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
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rsp, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    );
}

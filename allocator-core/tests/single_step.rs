//! The fast paths contain no locked instruction and no system call. A child is
//! single-stepped through warmed allocations and frees, and the bytes of every
//! instruction are checked.
#![cfg(target_arch = "x86_64")]

mod common;

use allocator_core::Strata;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Marks where stepping starts and ends: the tracer waits for these breakpoints.
#[inline(never)]
fn mark() {
    // SAFETY: a breakpoint, which the tracer handles.
    unsafe { std::arch::asm!("int3") };
}

/// Warms up, then runs `f` between two marks.
fn stepped(f: impl Fn()) {
    for _ in 0..1000 {
        f();
    }
    mark();
    f();
    mark();
}

/// Each function below is forbidden on a fast path. The tracer must find it.
fn locked_on_purpose() {
    static WORD: AtomicU64 = AtomicU64::new(0);
    WORD.fetch_add(1, Ordering::SeqCst);
}

fn exchanged_on_purpose() {
    static WORD: AtomicU64 = AtomicU64::new(0);
    black_box(WORD.swap(1, Ordering::SeqCst));
}

fn called_on_purpose() {
    // SAFETY: plain call.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

fn boxed() {
    drop(black_box(Box::new([1u64; 4])));
}

/// Sizes that the compiler does not know.
fn unknown_sizes() {
    for size in [1, 24, 100, 1000, 20_000] {
        let layout = common::layout(black_box(size), 8);
        // SAFETY: the size is not 0; made and freed at once.
        unsafe {
            let ptr = black_box(std::alloc::alloc(layout));
            ptr.write(1);
            std::alloc::dealloc(ptr, layout);
        }
    }
}

/// Whether an instruction locks, exchanges with memory, or enters the kernel.
/// Decodes the prefixes and the opcode.
fn is_forbidden(code: &[u8]) -> Option<&'static str> {
    let mut at = 0;
    while matches!(code[at], 0x66 | 0x67 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65) {
        at += 1;
    }
    if code[at] == 0xf0 {
        return Some("lock");
    }
    if code[at] & 0xf0 == 0x40 {
        at += 1;
    }
    match code[at..] {
        // An exchange with a memory operand locks without a prefix.
        [0x86 | 0x87, operand, ..] if operand >> 6 != 3 => Some("xchg"),
        [0x0f, 0x05, ..] => Some("syscall"),
        [0x0f, 0x34, ..] => Some("sysenter"),
        [0xcd, 0x80, ..] => Some("int 0x80"),
        // mfence and its like wait for other cores as well.
        [0x0f, 0xae, operand, ..] if operand >= 0xe8 => Some("fence"),
        _ => None,
    }
}

/// Steps through `f` in a child. Returns how many instructions it took, and which
/// of them are forbidden.
fn step_through(f: fn(), threads: usize) -> (usize, Vec<&'static str>) {
    step_through_after(|| {}, f, threads)
}

/// Like [`step_through`], after `prepare` in the child.
fn step_through_after(prepare: fn(), f: fn(), threads: usize) -> (usize, Vec<&'static str>) {
    // SAFETY: the child runs `f` and exits, and uses no lock that another thread of
    // this process might have held.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            libc::alarm(60);
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
                libc::_exit(77);
            }
            for _ in 0..threads {
                std::thread::spawn(std::thread::park);
            }
            prepare();
            stepped(f);
            libc::_exit(0);
        }
        trace(pid)
    }
}

/// # Safety
/// `pid` is a child that asked to be traced.
unsafe fn trace(pid: i32) -> (usize, Vec<&'static str>) {
    let wait = || {
        let mut status = 0;
        // SAFETY: the child is ours.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        status
    };
    let stopped =
        |status: i32, signal: i32| libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == signal;
    let request = |request, data: usize| {
        // SAFETY: the child is stopped.
        assert_eq!(unsafe { libc::ptrace(request, pid, 0, data) }, 0);
    };
    let status = wait();
    assert!(stopped(status, libc::SIGTRAP), "not at the first mark: {status:#x}");
    let (mut steps, mut forbidden) = (0, Vec::new());
    loop {
        request(libc::PTRACE_SINGLESTEP, 0);
        let status = wait();
        assert!(stopped(status, libc::SIGTRAP), "{status:#x} after {steps} steps");
        let code = next_instruction(pid);
        if code[0] == 0xcc {
            break;
        }
        steps += 1;
        forbidden.extend(is_forbidden(&code));
        assert!(steps < 1_000_000);
    }
    request(libc::PTRACE_KILL, 0);
    wait();
    (steps, forbidden)
}

/// The bytes of the next instruction of the stopped child.
fn next_instruction(pid: i32) -> [u8; 16] {
    // SAFETY: the child is stopped; all zero is a valid set of registers.
    unsafe {
        let mut registers: libc::user_regs_struct = std::mem::zeroed();
        let at = libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers);
        assert_eq!(at, 0);
        let mut code = [0; 16];
        for half in 0..2 {
            let word = libc::ptrace(libc::PTRACE_PEEKTEXT, pid, registers.rip + half * 8, 0);
            code[half as usize * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        code
    }
}

#[test]
fn the_tracer_sees_what_is_forbidden() {
    assert_eq!(step_through(locked_on_purpose, 0).1, ["lock"]);
    assert_eq!(step_through(exchanged_on_purpose, 0).1, ["xchg"]);
    assert_eq!(step_through(called_on_purpose, 0).1, ["syscall"]);
}

/// This program once more, as users build theirs: everything is inlined, and nothing
/// is asserted.
#[cfg(debug_assertions)]
#[test]
fn the_released_fast_path_has_no_lock_and_no_system_call() {
    let output =
        common::cargo("test", common::RELEASE).args(["--test", "single_step"]).output().unwrap();
    let ended = common::Ended::from(output);
    let passed = ended.out.contains("test the_fast_path_has_no_lock_and_no_system_call ... ok");
    assert!(ended.ok && passed, "{}\n{}", ended.out, ended.err);
}

/// With and without other threads: single-threaded programs have no path of their
/// own that would hide the other.
#[test]
fn the_fast_path_has_no_lock_and_no_system_call() {
    for (name, f) in [("Box", boxed as fn()), ("run-time sizes", unknown_sizes)] {
        for threads in [0, 2] {
            let (steps, forbidden) = step_through(f, threads);
            println!("{name}, {threads} more threads: {steps} instructions");
            assert!(forbidden.is_empty(), "{name}: {forbidden:?} in {steps} instructions");
            assert!(steps > 10);
        }
    }
}

/// Instructions that a pair may take more while the profile is on and takes no sample.
const PROFILED: usize = 60;

/// Whether this is the code that ships, whose instructions are bounded.
const IS_RELEASED: bool = !cfg!(debug_assertions);

/// That takes no lock either, and few more instructions.
#[test]
fn the_path_of_a_profiled_thread_is_short() {
    let (off, _) = step_through(boxed, 0);
    // No sample is due while a thousand pairs warm up.
    let (on, forbidden) = step_through_after(|| Strata::profile_start(1 << 40), boxed, 0);
    let switched_off = || {
        Strata::profile_start(1 << 40);
        boxed();
        Strata::profile_stop();
    };
    let (again, _) = step_through_after(switched_off, boxed, 0);
    println!("Box: {off} instructions, {on} while it is profiled, {again} afterwards");
    assert!(forbidden.is_empty(), "{forbidden:?} in {on} instructions");
    assert_eq!(again, off);
    assert!(on > off, "it is not profiled");
    assert!(!IS_RELEASED || on - off <= PROFILED, "{on} instructions instead of {off}");
}

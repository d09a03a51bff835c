//! Error output and abnormal termination.

use super::arch;
use super::syscall::{Errno, syscall};
use core::ffi::c_int;
use core::ptr;

/// Writes `text` to standard error, as far as possible. Not a cancellation
/// point.
pub fn write_stderr(text: &[u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        match write_some(rest) {
            Some(written) => rest = rest.get(written..).unwrap_or_default(),
            None => return,
        }
    }
}

/// Ends the process with `SIGABRT`. As with C's `abort`, a handler of the
/// program for that signal runs first, on this thread, even if the signal is
/// blocked; if it returns, the process ends all the same. No lock is taken, and
/// no function of the C library called.
pub fn abort() -> ! {
    raise(libc::SIGABRT);
    // It was ignored, or its handler returned.
    set_default(libc::SIGABRT);
    raise(libc::SIGABRT);
    // Another thread set a handler since, or these calls are denied.
    raise(libc::SIGKILL);
    // The first process of a container cannot be killed from within.
    arch::trap()
}

/// Number of bytes that one write took: 0 if it was interrupted by a signal,
/// `None` if nothing more can be written.
fn write_some(text: &[u8]) -> Option<usize> {
    let args = [libc::STDERR_FILENO as usize, text.as_ptr().expose_provenance(), text.len()];
    // SAFETY: the kernel reads at most `text.len()` bytes.
    match unsafe { syscall(libc::SYS_write, args) } {
        Ok(0) => None,
        Ok(written) => Some(written),
        Err(Errno(error)) => (error == libc::EINTR).then_some(0),
    }
}

/// Size of the kernel's set of signals, one bit for each.
const SIGNAL_SET: usize = size_of::<u64>();

/// Unblocks a signal for the calling thread and sends it to this thread.
fn raise(signal: c_int) {
    let unblocked = 1u64 << (signal - 1);
    let set = (&raw const unblocked).expose_provenance();
    let none = ptr::null::<u64>().addr();
    // SAFETY: the kernel reads the set. What the signal does is what the program
    // asked for.
    let _ = unsafe {
        let how = libc::SIG_UNBLOCK as usize;
        let _ = syscall(libc::SYS_rt_sigprocmask, [how, set, none, SIGNAL_SET]);
        let process = syscall(libc::SYS_getpid, []).unwrap_or(0);
        let thread = syscall(libc::SYS_gettid, []).unwrap_or(0);
        syscall(libc::SYS_tgkill, [process, thread, signal as usize])
    };
}

/// Makes a signal end the process.
fn set_default(signal: c_int) {
    // The kernel's `struct sigaction` with `SIG_DFL`, no flags and no mask.
    let action = [0usize; 4];
    let args = [signal as usize, (&raw const action).expose_provenance(), 0, SIGNAL_SET];
    // SAFETY: the kernel reads the action; the process is about to end.
    let _ = unsafe { syscall(libc::SYS_rt_sigaction, args) };
}

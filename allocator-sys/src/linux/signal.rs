//! Handlers of signals, set by system calls.

use super::arch;
use super::syscall::syscall;
use core::ffi::c_int;
use core::ptr;

/// A signal that the allocator sets a handler for, or ends the process by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGABRT`.
    Abrt,
    /// `SIGHUP`.
    Hup,
    /// `SIGQUIT`.
    Quit,
    /// `SIGTERM`.
    Term,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
    /// `SIGWINCH`.
    Winch,
}

/// What is called on a signal. It may do only what a handler of a signal may.
pub type SignalHandler = extern "C" fn(signal: c_int);

impl Signal {
    fn number(self) -> c_int {
        match self {
            Signal::Abrt => libc::SIGABRT,
            Signal::Hup => libc::SIGHUP,
            Signal::Quit => libc::SIGQUIT,
            Signal::Term => libc::SIGTERM,
            Signal::Usr1 => libc::SIGUSR1,
            Signal::Usr2 => libc::SIGUSR2,
            Signal::Winch => libc::SIGWINCH,
        }
    }
}

/// The kernel's `struct sigaction`.
#[repr(C)]
pub(super) struct Action {
    pub(super) handler: usize,
    pub(super) flags: usize,
    pub(super) restorer: usize,
    pub(super) mask: u64,
}

impl Action {
    /// The default of every signal.
    pub(super) const DEFAULT: Action =
        Action { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
}

/// Size of the kernel's set of signals, one bit for each.
const SIGNAL_SET: usize = size_of::<u64>();

/// Has `handler` called on a signal that has its default action: with all signals blocked, on the
/// thread's stack for signals if it has one; calls of the system that it interrupts go on
/// afterwards. `false`: the signal is ignored, or has another handler; nothing changed.
pub fn handle_signal(signal: Signal, handler: SignalHandler) -> bool {
    if action_of(signal.number()).is_none_or(|action| action.handler != libc::SIG_DFL) {
        return false;
    }
    let (restorer, flag) = arch::signal_return();
    let flags = libc::SA_RESTART | libc::SA_ONSTACK;
    let handler = handler as usize;
    set(signal.number(), &Action { handler, flags: flags as usize | flag, restorer, mask: !0 })
}

/// Gives a signal its default action back, if it still has this handler.
pub fn handle_signal_no_more(signal: Signal, handler: SignalHandler) {
    if action_of(signal.number()).is_some_and(|action| action.handler == handler as usize) {
        set(signal.number(), &Action::DEFAULT);
    }
}

/// Gives a signal its default action, and sends it to the calling thread, even if it is blocked
/// there. It returns where that does not end the process: the first process of a container ignores
/// such signals.
pub fn end_by(signal: Signal) {
    set(signal.number(), &Action::DEFAULT);
    raise(signal.number());
}

/// Unblocks a signal for the calling thread and sends it to this thread.
pub(super) fn raise(signal: c_int) {
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

/// What is set for a signal. `None`: the kernel does not tell.
pub(super) fn action_of(signal: c_int) -> Option<Action> {
    let mut action = Action::DEFAULT;
    let to = (&raw mut action).expose_provenance();
    // SAFETY: the kernel writes the action.
    let told = unsafe { syscall(libc::SYS_rt_sigaction, [signal as usize, 0, to, SIGNAL_SET]) };
    told.ok().map(|_| action)
}

/// Sets what a signal does. Returns whether the kernel accepted that.
pub(super) fn set(signal: c_int, action: &Action) -> bool {
    let args = [signal as usize, ptr::from_ref(action).expose_provenance(), 0, SIGNAL_SET];
    // SAFETY: the kernel reads the action. Its handler may run at any time, by the type of those
    // that are passed to `handle_signal` and `handle_faults`.
    unsafe { syscall(libc::SYS_rt_sigaction, args) }.is_ok()
}

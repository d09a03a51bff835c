//! The handler of faults. It stands before the one that the program had: what is not the
//! allocator's goes on to that.

use super::arch;
use super::signal::{self, Action};
use core::ffi::{c_int, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// What is told the address of each access that faults, in a handler of a signal. It returns whether
/// the address is its own: then the access is tried again.
pub type FaultHandler = fn(address: usize) -> bool;

/// Who is told.
static HANDLER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// The action that the program had. It is written before the handler is set, which the kernel makes
/// known to all threads.
static FORMER: Former = Former {
    handler: AtomicUsize::new(0),
    flags: AtomicUsize::new(0),
    restorer: AtomicUsize::new(0),
    mask: AtomicU64::new(0),
};

struct Former {
    handler: AtomicUsize,
    flags: AtomicUsize,
    restorer: AtomicUsize,
    mask: AtomicU64,
}

/// A handler as programs set it, with and without `SA_SIGINFO`.
type Told = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
type Plain = extern "C" fn(c_int);

/// Has `handler` told of each access that faults (`SIGSEGV`), on the thread's stack for signals if
/// it has one. Other faults go on to what the program has set by now: a handler of its, or the end
/// of the process. What it sets later takes the place of all this. `false`: the system refused.
pub fn handle_faults(handler: FaultHandler) -> bool {
    let Some(former) = signal::action_of(libc::SIGSEGV) else { return false };
    if former.handler == ours() {
        return true;
    }
    HANDLER.store(handler as *mut (), Ordering::Relaxed);
    FORMER.handler.store(former.handler, Ordering::Relaxed);
    FORMER.flags.store(former.flags, Ordering::Relaxed);
    FORMER.restorer.store(former.restorer, Ordering::Relaxed);
    FORMER.mask.store(former.mask, Ordering::Relaxed);
    // The former handler runs as if it was called by the kernel.
    let kept = former.flags & (libc::SA_NODEFER | libc::SA_RESTART) as usize;
    let (restorer, flag) = arch::signal_return();
    let flags = (libc::SA_SIGINFO | libc::SA_ONSTACK) as usize | kept | flag;
    signal::set(libc::SIGSEGV, &Action { handler: ours(), flags, restorer, mask: former.mask })
}

/// Sets again what [`handle_faults`] found, unless the program has set another handler since.
pub fn handle_faults_no_more() {
    if signal::action_of(libc::SIGSEGV).is_some_and(|action| action.handler == ours()) {
        signal::set(libc::SIGSEGV, &former());
    }
}

fn ours() -> usize {
    on_fault as Told as usize
}

/// The action that the program had, as the kernel takes it.
fn former() -> Action {
    Action {
        handler: FORMER.handler.load(Ordering::Relaxed),
        flags: FORMER.flags.load(Ordering::Relaxed),
        restorer: FORMER.restorer.load(Ordering::Relaxed),
        mask: FORMER.mask.load(Ordering::Relaxed),
    }
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands the record over. It has an address if the kernel raised the signal.
    let (by_kernel, address) = unsafe { ((*info).si_code > 0, (*info).si_addr().addr()) };
    let handler = HANDLER.load(Ordering::Relaxed);
    if by_kernel && !handler.is_null() {
        // SAFETY: only functions of this type are stored there.
        if unsafe { mem::transmute::<*mut (), FaultHandler>(handler) }(address) {
            return;
        }
    }
    let former = former();
    match former.handler {
        // It has no effect on what the kernel raises.
        libc::SIG_IGN if !by_kernel => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // The access is tried again, and ends the process.
            signal::set(signal, &Action::DEFAULT);
            if !by_kernel {
                signal::raise(signal);
            }
        }
        _ => {
            if former.flags & libc::SA_RESETHAND as usize != 0 {
                signal::set(signal, &Action::DEFAULT);
            }
            let is_told = former.flags & libc::SA_SIGINFO as usize != 0;
            let handler = ptr::with_exposed_provenance::<()>(former.handler);
            // SAFETY: the program has set a handler of the type that its flags name.
            unsafe {
                if is_told {
                    mem::transmute::<*const (), Told>(handler)(signal, info, context);
                } else {
                    mem::transmute::<*const (), Plain>(handler)(signal);
                }
            }
        }
    }
}

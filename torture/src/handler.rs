//! Operations in signal handlers. A thread that raises the signal itself is between two
//! calls of the allocator: its handler may do anything. A signal from outside may interrupt
//! a fast path, where handlers of small blocks have conditions (`docs/signals.md`): such a
//! handler takes larger blocks, and none near a limit, where the caches are flushed.

use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use crate::pattern;
use crate::threads;
use crate::violated;
use crate::world::{Tally, World};

thread_local! {
    /// What the handler is to do; 0 for one that comes from outside.
    static WORK: Cell<u8> = const { Cell::new(0) };
}

static WORLD: OnceLock<&'static World> = OnceLock::new();

/// A bit of what a handler does: it forks.
const FORKS: u8 = 1 << 7;

/// The signal; others may use `SIGUSR1`, as fuzzers do.
fn number() -> c_int {
    libc::SIGRTMIN() + 3
}

/// Lets signals do something in this world, from now on.
///
/// # Panics
/// If the system refuses.
pub(crate) fn install(world: &'static World) {
    let _ = WORLD.set(world);
    let handler: extern "C" fn(c_int) = handle;
    // SAFETY: all fields that are 0 are valid; the handler may run in any thread.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(number(), &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Raises the signal here.
pub(crate) fn raise(world: &World, work: u8) {
    Tally::count(&world.tally.signals);
    WORK.set(work | 1);
    // SAFETY: a plain call.
    unsafe { libc::raise(number()) };
    WORK.set(0);
}

/// Sends the signal to a thread of this process, which may have ended.
pub(crate) fn send(world: &World, task: i32) {
    Tally::count(&world.tally.signals);
    // SAFETY: a plain call.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), task, number()) };
}

/// The calling thread, for [`send`].
pub(crate) fn own_task() -> i32 {
    // SAFETY: a plain call.
    unsafe { libc::gettid() }
}

extern "C" fn handle(_: c_int) {
    let Some(world) = WORLD.get() else { return };
    // SAFETY: it is the thread's own.
    let errno = unsafe { *libc::__errno_location() };
    // Taken: a signal from outside may follow before `raise` returns.
    match WORK.replace(0) {
        0 if world.is_limited() => {}
        0 => blocks(world, &[(40_000, 8), (300_000, 4096)]),
        work => {
            const ALL: [(usize, usize); 8] = [
                (1, 1),
                (24, 8),
                (100, 16),
                (1000, 8),
                (5000, 64),
                (30_000, 8),
                (200_000, 8),
                (3 << 20, 8),
            ];
            blocks(world, &ALL[..1 + usize::from(work >> 1) % ALL.len()]);
            if work & FORKS != 0 && world.settings.forks {
                fork(world, &ALL);
            }
        }
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Allocates blocks of these sizes and alignments, fills, checks and frees them.
fn blocks(world: &World, wanted: &[(usize, usize)]) {
    const MOST: usize = 8;
    let mut held: [Option<(*mut u8, Layout)>; MOST] = [None; MOST];
    for (n, (size, align)) in wanted.iter().enumerate() {
        let Ok(layout) = Layout::from_size_align(*size, *align) else { return };
        // SAFETY: the size is not 0; the block has so many bytes.
        unsafe {
            let ptr = world.subject.alloc(layout);
            // In a handler, it may be refused.
            if !ptr.is_null() {
                pattern::fill(ptr, *size, n as u64);
                held[n] = Some((ptr, layout));
            }
        }
    }
    for (n, (ptr, layout)) in held.iter().enumerate().filter_map(|(n, it)| Some((n, (*it)?))) {
        // SAFETY: the block is ours, and has so many bytes.
        unsafe {
            if pattern::first_wrong(ptr, layout.size(), layout.size(), n as u64).is_some() {
                violated!("a block {ptr:p} of {layout:?} was changed within a signal handler");
            }
            world.subject.dealloc(ptr, layout);
        }
    }
}

/// Forks in the handler.
fn fork(world: &World, wanted: &[(usize, usize)]) {
    Tally::count(&world.tally.forks);
    threads::fork("the child of a fork in a signal handler", || {
        world.is_child.store(true, Ordering::Relaxed);
        (0..20).for_each(|_| blocks(world, wanted));
    });
}

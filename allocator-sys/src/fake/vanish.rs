//! A thread that vanishes, as all others do in the child of a fork.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::linux;

/// The thread that is to vanish; 0 for none.
static WHO: AtomicU32 = AtomicU32::new(0);
/// Steps until it does.
static LEFT: AtomicU64 = AtomicU64::new(0);
/// Whether it has.
static GONE: AtomicBool = AtomicBool::new(false);
/// Nobody changes this.
static FOREVER: AtomicU32 = AtomicU32::new(0);

/// Has the calling thread vanish at its `n`-th step from now (1 is the next; 0: at none), and no
/// other thread. A call on memory or a file has two: one before its effect, one after. There the
/// thread stops for ever. A thread that ends before takes this back: another one may get its token.
pub fn vanish_at(n: u64) {
    LEFT.store(n, Ordering::Relaxed);
    GONE.store(false, Ordering::Relaxed);
    WHO.store(if n == 0 { 0 } else { linux::thread_token() }, Ordering::Relaxed);
}

/// Whether the thread has vanished that was to. What it did before is seen.
pub fn has_vanished() -> bool {
    GONE.load(Ordering::Acquire)
}

/// A step of the calling thread, which does not have the table.
pub(super) fn step() {
    let who = WHO.load(Ordering::Relaxed);
    if who == 0 || who != linux::thread_token() || LEFT.fetch_sub(1, Ordering::Relaxed) != 1 {
        return;
    }
    WHO.store(0, Ordering::Relaxed);
    GONE.store(true, Ordering::Release);
    loop {
        linux::futex_wait(&FOREVER, 0);
    }
}

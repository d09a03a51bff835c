//! The system: the fake one, but for what depends on threads and time, which are those of an
//! execution.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) use allocator_sys::fake::*;

use crate::door::{self, AtomicU32};
use crate::scheduled;

/// CPUs of an execution.
const CPUS: u32 = 3;

/// Waits for a while, or until `word` differs from `seen`.
pub(crate) fn futex_wait_for(word: &AtomicU32, seen: u32, _milliseconds: u32) {
    door::wait_briefly(word, seen);
}

/// Who sleeps looks by itself.
pub(crate) fn futex_wake(_word: &AtomicU32, _count: u32) {}

/// Threads are spread over the CPUs.
pub(crate) fn current_cpu() -> usize {
    (scheduled::token() % CPUS) as usize
}

/// Each look at the clock takes a while, so that there are threads that are idle.
pub(crate) fn monotonic_ms() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(1_000);
    NOW.fetch_add(7, Ordering::Relaxed)
}

pub(crate) fn on_thread_exit(ended: unsafe extern "C" fn(*mut c_void)) -> bool {
    scheduled::on_end(ended);
    true
}

pub(crate) fn arm_thread_exit(value: *mut c_void) -> bool {
    scheduled::at_end(value);
    true
}

/// Whether the helper runs.
static HELPED: AtomicBool = AtomicBool::new(false);

pub(crate) fn start_task(body: TaskBody, _word: ThreadWord) -> bool {
    if scheduled::is_alone() || HELPED.swap(true, Ordering::Relaxed) {
        return false;
    }
    scheduled::spawn(move || {
        let _work = scheduled::work(0);
        body(false);
        HELPED.store(false, Ordering::Relaxed);
    });
    true
}

pub(crate) fn task_count() -> Option<usize> {
    Some(scheduled::alive())
}

pub(crate) fn task_runs() -> bool {
    HELPED.load(Ordering::Relaxed)
}

pub(crate) fn forget_task() {
    HELPED.store(false, Ordering::Relaxed);
}

pub(crate) fn wait_for_task() {
    while task_runs() {
        scheduled::rest();
    }
}

/// All share one stack of the system's, where no signal comes.
pub(crate) fn without_signals<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// # Safety
/// As for that of the system.
pub(crate) unsafe fn on_stack<const BYTES: usize, R>(
    _stack: &Stack<BYTES>,
    f: impl FnOnce() -> R,
) -> R {
    f()
}

/// A misuse that the allocator found: there is none.
pub(crate) fn abort() -> ! {
    panic!("the allocator reports misuse")
}

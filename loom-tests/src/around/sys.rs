//! Replaces the system: memory, the end of threads, and the abort.

use core::cell::Cell;
use core::ffi::c_void;
use std::sync::OnceLock;

use crate::futex;

/// The allocator's function for the end of a thread.
static ENDED: OnceLock<unsafe extern "C" fn(*mut c_void)> = OnceLock::new();

loom::thread_local! {
    static AT_END: Cell<*mut c_void> = Cell::new(core::ptr::null_mut());
}

pub(crate) fn on_thread_exit(ended: unsafe extern "C" fn(*mut c_void)) -> bool {
    ENDED.get_or_init(|| ended);
    true
}

pub(crate) fn arm_thread_exit(value: *mut c_void) -> bool {
    AT_END.with(|at_end| at_end.set(value));
    true
}

/// The calling thread ends: calls what it asked for, as long as it asks.
pub(crate) fn end_thread() {
    loop {
        let value = AT_END.with(|at_end| at_end.replace(core::ptr::null_mut()));
        let Some(ended) = ENDED.get().filter(|_| !value.is_null()) else { break };
        // SAFETY: the thread asked for this call, with this value.
        unsafe { ended(value) };
    }
}

/// Wakes one thread that sleeps on `word`.
pub(crate) fn futex_wake<T>(word: &T, _count: u32) {
    futex::wake(core::ptr::from_ref(word).addr());
}

/// Nobody waits for a time.
pub(crate) fn futex_wait_for<T>(_word: &T, _seen: u32, _milliseconds: u32) {
    loom::thread::yield_now();
}

/// Gives memory back.
type Purge = fn(*mut u8, usize) -> bool;

thread_local! {
    static PURGE: Cell<Purge> = const { Cell::new(|_, _| true) };
    static PAGE_SIZE: Cell<usize> = const { Cell::new(PAGE) };
}

/// An execution begins: its memory is given back by this function, in the usual pages.
pub(crate) fn begin(purge: Purge) {
    PURGE.set(purge);
    PAGE_SIZE.set(PAGE);
}

/// Has pages of other sizes in this execution.
pub(crate) fn set_page_size(bytes: usize) {
    PAGE_SIZE.set(bytes);
}

pub(crate) fn page_size() -> usize {
    PAGE_SIZE.get()
}

/// What the system's pages have.
const PAGE: usize = 4096;

pub(crate) fn current_cpu() -> usize {
    0
}

pub(crate) fn task_count() -> Option<usize> {
    None
}

/// Gives the memory of some granules back, unless the model has that refused.
///
/// # Safety
/// Nobody uses the memory: loom reports who does.
pub(crate) unsafe fn purge(at: *mut u8, bytes: usize) -> bool {
    PURGE.get()(at, bytes)
}

/// Nothing to prefetch.
pub(crate) fn prefetch(_line: *const u8) {}

/// So late that a thread that has done nothing yet counts as asleep.
pub(crate) fn monotonic_ms() -> u64 {
    1_000
}

pub(crate) fn write_stderr(text: &[u8]) {
    eprint!("{}", String::from_utf8_lossy(text));
}

pub(crate) fn abort() -> ! {
    panic!("the allocator ended the process");
}

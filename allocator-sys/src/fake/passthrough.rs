//! Calls that are passed on to the system.

use super::failure::Call;
use super::memory::{after_fork, before_fork};
use crate::linux;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Same as [`crate::futex_wait`].
pub fn futex_wait(word: &AtomicU32, expected: u32) {
    Call::FutexWait.count();
    linux::futex_wait(word, expected);
}

/// Same as [`crate::futex_wait_for`].
pub fn futex_wait_for(word: &AtomicU32, expected: u32, milliseconds: u32) {
    Call::FutexWait.count();
    linux::futex_wait_for(word, expected, milliseconds);
}

/// Same as [`crate::futex_wake`].
pub fn futex_wake(word: &AtomicU32, count: u32) {
    Call::FutexWake.count();
    linux::futex_wake(word, count);
}

/// Same as [`crate::on_thread_exit`].
pub fn on_thread_exit(ended: unsafe extern "C" fn(*mut c_void)) -> bool {
    !Call::OnThreadExit.count_and_inject() && linux::on_thread_exit(ended)
}

/// Same as [`crate::arm_thread_exit`].
pub fn arm_thread_exit(value: *mut c_void) -> bool {
    !Call::ArmThreadExit.count_and_inject() && linux::arm_thread_exit(value)
}

/// Same as [`crate::forget_thread_exit`].
pub fn forget_thread_exit() {
    linux::forget_thread_exit();
}

/// Same as [`crate::can_be_unloaded`].
pub fn can_be_unloaded() -> bool {
    linux::can_be_unloaded()
}

/// Same as [`crate::on_exit`].
pub fn on_exit(function: unsafe extern "C" fn(*mut c_void)) -> bool {
    linux::on_exit(function)
}

/// Same as [`crate::on_fork`].
pub fn on_fork(child: unsafe extern "C" fn()) -> bool {
    !Call::OnFork.count_and_inject() && guard_table_across_fork() && linux::on_fork(child)
}

/// Same as [`crate::thread_token`].
pub fn thread_token() -> u32 {
    linux::thread_token()
}

/// Same as [`crate::write_stderr`].
pub fn write_stderr(text: &[u8]) {
    linux::write_stderr(text);
}

/// Same as [`crate::abort`].
pub fn abort() -> ! {
    linux::abort()
}

/// Same as [`crate::start_task`].
pub fn start_task(body: linux::TaskBody, word: linux::ThreadWord) -> bool {
    !Call::StartTask.count_and_inject() && linux::start_task(body, word)
}

/// Same as [`crate::task_count`].
pub fn task_count() -> Option<usize> {
    linux::task_count()
}

/// Same as [`crate::task_runs`].
pub fn task_runs() -> bool {
    linux::task_runs()
}

/// Same as [`crate::wait_for_task`].
pub fn wait_for_task() {
    linux::wait_for_task();
}

/// Same as [`crate::forget_task`].
pub fn forget_task() {
    linux::forget_task();
}

/// Same as [`crate::credentials`].
pub fn credentials() -> u64 {
    linux::credentials()
}

/// Makes every later `fork` wait for the table. Done once, before the caller's
/// first handler is registered: that handler may need the table in the child.
fn guard_table_across_fork() -> bool {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::AcqRel) {
        return true;
    }
    let done = linux::around_fork(before_fork, after_fork, after_fork);
    DONE.store(done, Ordering::Release);
    done
}

/// Same as [`crate::prefetch`].
pub fn prefetch(place: *const u8) {
    linux::prefetch(place);
}

//! Threads: identifying them, and noticing their exit.

use super::arch;
use super::errno::ErrnoGuard;
use super::syscall::syscall;
use core::ffi::c_void;
use core::mem::{self, MaybeUninit};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

/// What the helper's task runs. The argument: whether it has its own table of
/// descriptors; if not, it must open no file.
pub type TaskBody = extern "C" fn(own_files: bool);

/// The key whose destructor reports a thread's exit, plus one; 0 until it is
/// created.
static EXIT_KEY: AtomicU64 = AtomicU64::new(0);

/// The prime 2³¹ − 1. Thread pointers are reduced modulo this.
const TOKENS: u64 = (1 << 31) - 1;

/// Distributes neighbouring thread pointers over all tokens.
const SPREAD: u64 = 0x4f1b_bcdd;

/// A number that identifies the calling thread among the running ones: not 0,
/// less than 2³¹, and computed from the thread pointer alone. A thread that
/// starts after this one has exited may get the same number.
///
/// Two running threads have different numbers if their control blocks are less
/// than 128 GiB apart, or if both stacks were allocated by the C library and
/// are less than 8 TiB apart.
#[inline]
pub fn thread_token() -> u32 {
    token(arch::thread_pointer())
}

/// The number of the process, as other processes see it.
pub fn process_id() -> usize {
    // SAFETY: takes nothing, and changes nothing.
    unsafe { syscall(libc::SYS_getpid, []) }.unwrap_or(0)
}

/// The number of the calling thread, as other processes see it.
pub fn thread_id() -> usize {
    // SAFETY: takes nothing, and changes nothing.
    unsafe { syscall(libc::SYS_gettid, []) }.unwrap_or(0)
}

/// Registers `ended(value)` to run at the exit of each thread that called
/// [`arm_thread_exit`] with that value. `false`: the process has no
/// thread-specific key left.
///
/// Any number of threads may call this at any time; the function of the first
/// successful call is used. The C library may allocate through the process's
/// `malloc` here: the caller must not hold a lock of the allocator.
pub fn on_thread_exit(ended: unsafe extern "C" fn(*mut c_void)) -> bool {
    if EXIT_KEY.load(Ordering::Acquire) != 0 {
        return true;
    }
    let _guard = ErrnoGuard::save();
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: writes the new key to `key`.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(ended)) } != 0 {
        return false;
    }
    publish_exit_key(key);
    true
}

/// Requests `ended(value)` at the exit of the calling thread. A later call
/// replaces the value, and null cancels the request. `false`: nothing will run,
/// as there is no key or no memory for it.
///
/// The C library may allocate through the process's `malloc` here: the caller
/// must not hold a lock of the allocator. Called from within `ended`, it
/// requests one more run.
#[expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the C library keeps the value and never looks behind it"
)]
pub fn arm_thread_exit(value: *mut c_void) -> bool {
    let _guard = ErrnoGuard::save();
    let Some(key) = EXIT_KEY.load(Ordering::Acquire).checked_sub(1) else {
        return false;
    };
    // SAFETY: the key was created; setting one that was deleted since is an error.
    unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, value) == 0 }
}

/// From now on no exit is reported any more. `ended` may still run in a thread that is
/// in the midst of exiting.
pub fn forget_thread_exit() {
    let _guard = ErrnoGuard::save();
    if let Some(key) = EXIT_KEY.swap(0, Ordering::AcqRel).checked_sub(1) {
        // SAFETY: the key was created, and nobody else deletes it.
        unsafe { libc::pthread_key_delete(key as libc::pthread_key_t) };
    }
}

/// Starts a detached thread of the C library that runs `body(false)`. For runtimes that
/// must know every thread.
pub(super) fn start_known_thread(body: TaskBody) -> bool {
    let _guard = ErrnoGuard::save();
    let mut attr = MaybeUninit::uninit();
    // SAFETY: initializes `attr`, or returns an error.
    if unsafe { libc::pthread_attr_init(attr.as_mut_ptr()) } != 0 {
        return false;
    }
    let mut thread = MaybeUninit::uninit();
    // SAFETY: `attr` is initialized, `thread` receives the new thread's handle, and
    // `run_known` gets the function pointer that it expects.
    unsafe {
        let attr = attr.as_mut_ptr();
        libc::pthread_attr_setdetachstate(attr, libc::PTHREAD_CREATE_DETACHED);
        let started =
            libc::pthread_create(thread.as_mut_ptr(), attr, run_known, body as *mut c_void);
        libc::pthread_attr_destroy(attr);
        started == 0
    }
}

/// Runs `body`.
extern "C" fn run_known(body: *mut c_void) -> *mut c_void {
    // SAFETY: `start_known_thread` made the pointer from a function of this type.
    let body = unsafe { mem::transmute::<*mut c_void, TaskBody>(body) };
    body(false);
    ptr::null_mut()
}

/// The token of the thread whose control block is at `pointer`.
///
/// Control blocks are larger than 64 bytes, so the low six bits carry no
/// information. The rest is multiplied within a prime field, which is a
/// bijection: pointers with equal tokens are a multiple of 64·(2³¹ − 1) bytes
/// apart.
#[inline]
fn token(pointer: usize) -> u32 {
    let block = (pointer as u64 >> 6) % TOKENS;
    (block * SPREAD % TOKENS) as u32 + 1
}

/// Publishes `key`, or deletes it if another thread published one first.
fn publish_exit_key(key: libc::pthread_key_t) {
    let published =
        EXIT_KEY.compare_exchange(0, u64::from(key) + 1, Ordering::AcqRel, Ordering::Acquire);
    if published.is_err() {
        // SAFETY: the key was just created here, and no value was ever set for
        // it.
        unsafe { libc::pthread_key_delete(key) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn stacks_side_by_side_have_different_tokens() {
        let stacks = 200_000;
        let tokens: HashSet<u32> =
            (0..stacks).map(|stack| token(0x7f00_0000_06c0 + stack * 0x80_1000)).collect();
        assert_eq!(tokens.len(), stacks);
    }

    #[test]
    fn tokens_are_31_bits_and_never_0() {
        for pointer in [0, 63, 64, usize::MAX, 64 * ((1 << 31) - 1), (1 << 37) - 1] {
            assert!((1..1 << 31).contains(&token(pointer)), "{pointer:#x}");
        }
    }

    #[test]
    fn low_bits_of_tokens_are_spread() {
        let shards: HashSet<u32> =
            (0..64).map(|stack| token(0x7f00_0000_06c0 + stack * 0x80_1000) & 15).collect();
        assert!(shards.len() > 8, "{}", shards.len());
    }
}

//! Running a function on another stack.

use super::arch;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::{ManuallyDrop, MaybeUninit};

/// Bytes of a [`Stack`], if it is not said: several times what a report needs.
const SIZE: usize = 32 << 10;

/// A stack for [`on_stack`]. As a `static`, it costs no memory until it is used.
#[repr(C, align(64))]
pub struct Stack<const BYTES: usize = SIZE>(UnsafeCell<MaybeUninit<[u8; BYTES]>>);

// SAFETY: it has no data, and the callers of `on_stack` use it one at a time.
unsafe impl<const BYTES: usize> Sync for Stack<BYTES> {}

impl<const BYTES: usize> Stack<BYTES> {
    /// A stack that nothing runs on.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Stack(UnsafeCell::new(MaybeUninit::uninit()))
    }
}

/// Calls `f` on `stack`, instead of on the stack of the calling thread. Debuggers and
/// unwinders see the frames of both.
///
/// A signal handler would run on what `f` leaves of that stack: so block the signals,
/// with [`without_signals`].
///
/// # Safety
///
/// Nothing else runs on the stack meanwhile. `f` does not unwind, and needs no more
/// than the stack has.
pub unsafe fn on_stack<const BYTES: usize, F: FnOnce() -> R, R>(stack: &Stack<BYTES>, f: F) -> R {
    let mut call = Call { f: ManuallyDrop::new(f), result: MaybeUninit::uninit() };
    let top = stack.0.get().wrapping_add(1).cast();
    // SAFETY: by the caller; `run` gets the call that it expects, and is called once.
    unsafe {
        arch::call_on_stack((&raw mut call).cast(), run::<F, R>, top);
        call.result.assume_init()
    }
}

/// A function that is called once, and what it returned.
struct Call<F, R> {
    f: ManuallyDrop<F>,
    result: MaybeUninit<R>,
}

/// # Safety
///
/// `call` points to a [`Call`] of these types, which was not called yet.
unsafe extern "C" fn run<F: FnOnce() -> R, R>(call: *mut c_void) {
    // SAFETY: by the caller.
    unsafe {
        let call = &mut *call.cast::<Call<F, R>>();
        call.result.write(ManuallyDrop::take(&mut call.f)());
    }
}

/// Calls `f` while all signals are blocked in the calling thread.
pub fn without_signals<R>(f: impl FnOnce() -> R) -> R {
    let before = set_blocked(u64::MAX);
    let result = f();
    if let Some(before) = before {
        set_blocked(before);
    }
    result
}

/// Sets which signals are blocked in the calling thread, as the kernel counts them, and
/// returns those before. `None`: the kernel refused, and nothing changed.
fn set_blocked(signals: u64) -> Option<u64> {
    let mut before = 0u64;
    let (new, old) = (&raw const signals, &raw mut before);
    let how = libc::SIG_SETMASK as usize;
    // SAFETY: the kernel reads one set and writes the other, both of this size.
    let error = unsafe {
        let args = [how, new.expose_provenance(), old.expose_provenance(), size_of::<u64>(), 0, 0];
        arch::syscall(libc::SYS_rt_sigprocmask, args)
    };
    (error == 0).then_some(before)
}

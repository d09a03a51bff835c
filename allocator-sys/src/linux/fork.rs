//! What happens around `fork`.

use super::errno::ErrnoGuard;

/// Has `child` run in the child of every later `fork`, before `fork` returns
/// there. `false`: it will not run.
///
/// Handlers cannot be taken back, and a function given twice runs twice. The
/// C library may allocate through the process's `malloc` here: the caller
/// holds no lock of the allocator.
pub fn on_fork(child: unsafe extern "C" fn()) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: a plain function pointer; it takes nothing.
    unsafe { libc::pthread_atfork(None, None, Some(child)) == 0 }
}

/// Has `before` run ahead of every later `fork`, and then `parent` and
/// `child` on their sides. `false`: none will run.
#[cfg(feature = "fake")]
pub(crate) fn around_fork(
    before: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: plain function pointers; they take nothing.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) == 0 }
}

//! Handlers around `fork`.

use super::errno::ErrnoGuard;

/// Registers `child` to run in the child of every later `fork`, before `fork`
/// returns there. `false`: it will not run.
///
/// Handlers cannot be removed, and a function registered twice runs twice. The
/// C library may allocate through the process's `malloc` here: the caller must
/// not hold a lock of the allocator.
pub fn on_fork(child: unsafe extern "C" fn()) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: a plain function pointer without arguments.
    unsafe { libc::pthread_atfork(None, None, Some(child)) == 0 }
}

/// Registers `before` to run before every later `fork`, and `parent` and
/// `child` to run after it in the respective process. `false`: none will run.
#[cfg(feature = "fake")]
pub(crate) fn around_fork(
    before: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: plain function pointers without arguments.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) == 0 }
}

//! System calls with a typed answer.

use super::arch;
use core::array;
use core::ffi::{c_int, c_long};

/// The error number of a call that the kernel refused, such as `libc::EINTR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(pub(super) c_int);

/// The largest error number. The kernel returns it negated, and no result is as
/// large as that.
const ERRNO_MAX: isize = 4095;

/// Makes a system call. It is not a function of the C library, which another
/// library may have replaced by one that calls `malloc`; `errno` is not touched,
/// and it is not a cancellation point.
///
/// # Safety
///
/// As for the call: its pointers are valid, and what it changes is the caller's.
#[inline]
pub(super) unsafe fn syscall<const N: usize>(
    number: c_long,
    args: [usize; N],
) -> Result<usize, Errno> {
    const { assert!(N <= 6) };
    let all = array::from_fn(|index| args.get(index).copied().unwrap_or(0));
    // SAFETY: by the caller.
    let answer = unsafe { arch::syscall(number, all) };
    if (-ERRNO_MAX..0).contains(&answer) {
        return Err(Errno(-answer as c_int));
    }
    Ok(answer as usize)
}

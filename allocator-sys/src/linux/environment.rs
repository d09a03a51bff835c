//! Environment variables.

use super::auxv;
use super::syscall::syscall;
use core::ffi::{CStr, c_char};

unsafe extern "C" {
    /// The C library's null-terminated list of variables; null itself before
    /// the C library has started.
    static environ: *const *const c_char;
}

/// Passes the value of a variable to `read`, or `None` if it is not set or the
/// process is privileged (`AT_SECURE`, such as setuid). Does nothing while
/// there is no environment, that is, before the C library has started.
///
/// Where the kernel does not tell whether the process is privileged, it counts
/// as such unless its real and effective user and group are the same and it may
/// be traced, which the kernel denies a process that gained rights at its start.
///
/// The environment must not change during the call.
pub fn with_environment(name: &CStr, read: impl FnOnce(Option<&[u8]>)) {
    // SAFETY: the C library defines it.
    let mut at = unsafe { environ };
    if at.is_null() {
        return;
    }
    // SAFETY: the list consists of C strings and ends with a null pointer.
    unsafe {
        while !(*at).is_null() {
            let entry = CStr::from_ptr(*at).to_bytes();
            if let Some(value) = entry.strip_prefix(name.to_bytes())
                && let [b'=', value @ ..] = value
            {
                return read(Some(value).filter(|_| !is_privileged()));
            }
            at = at.add(1);
        }
    }
    read(None);
}

/// Passes the name of each variable that begins with `start` to `f`, unless the process is
/// privileged.
///
/// The environment must not change during the call.
pub fn for_variables(start: &CStr, mut f: impl FnMut(&[u8])) {
    // SAFETY: the C library defines it.
    let mut at = unsafe { environ };
    if at.is_null() || is_privileged() {
        return;
    }
    // SAFETY: the list consists of C strings and ends with a null pointer.
    unsafe {
        while !(*at).is_null() {
            let entry = CStr::from_ptr(*at).to_bytes();
            let name = entry.split(|byte| *byte == b'=').next().unwrap_or_default();
            if name.starts_with(start.to_bytes()) {
                f(name);
            }
            at = at.add(1);
        }
    }
}

/// Whether the environment may come from a user with fewer rights than the
/// process has.
fn is_privileged() -> bool {
    auxv::value(libc::AT_SECURE as usize).map_or_else(may_be_privileged, |secure| secure != 0)
}

/// What the kernel says without the auxiliary vector.
fn may_be_privileged() -> bool {
    // SAFETY: none of these takes a pointer or changes anything.
    let [user, effective_user, group, effective_group, dumpable] = unsafe {
        [
            syscall(libc::SYS_getuid, []),
            syscall(libc::SYS_geteuid, []),
            syscall(libc::SYS_getgid, []),
            syscall(libc::SYS_getegid, []),
            syscall(libc::SYS_prctl, [libc::PR_GET_DUMPABLE as usize, 0, 0, 0, 0]),
        ]
    };
    let same = user.is_ok() && group.is_ok() && user == effective_user && group == effective_group;
    !(same && dumpable == Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_may_not_be_traced_may_be_privileged() {
        assert!(!is_privileged() && !may_be_privileged());
        // SAFETY: the child makes system calls only, and ends.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::prctl(libc::PR_SET_DUMPABLE, 0);
                libc::_exit(i32::from(may_be_privileged()));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1, "{status:#x}");
        }
    }
}

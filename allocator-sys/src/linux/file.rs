//! Small files in which the kernel tells something.

use super::errno::{ErrnoGuard, errno};
use core::ffi::{CStr, c_int, c_long};

/// Why a file was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It is not there, or not for us: it will not be later, as a rule.
    Absent,
    /// The process or the system has no descriptor or no memory left just now.
    NoRoom,
}

/// Reads a file from its start, as far as there is room. Returns how many
/// bytes; what a read refuses counts as the file's end. No cancellation point.
pub fn read_file(path: &CStr, text: &mut [u8]) -> Result<usize, FileError> {
    let _guard = ErrnoGuard::save();
    let here = c_long::from(libc::AT_FDCWD);
    let flags = c_long::from(libc::O_RDONLY | libc::O_CLOEXEC);
    // SAFETY: the path ends in a null.
    let file = unsafe { libc::syscall(libc::SYS_openat, here, path.as_ptr(), flags) };
    let file = c_int::try_from(file).ok().filter(|file| *file >= 0);
    let file = file.ok_or_else(open_error)?;
    let mut len = 0;
    while let Some(rest) = text.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match read_some(file, rest) {
            Some(0) | None => break,
            Some(read) => len += read,
        }
    }
    // SAFETY: it was opened above, and nobody else knows it.
    unsafe { libc::syscall(libc::SYS_close, c_long::from(file)) };
    Ok(len)
}

/// Why the last call opened nothing.
fn open_error() -> FileError {
    match errno() {
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR => FileError::NoRoom,
        _ => FileError::Absent,
    }
}

/// The bytes that one read brought, 0 at the end; `None`: it failed.
fn read_some(file: c_int, into: &mut [u8]) -> Option<usize> {
    loop {
        // SAFETY: the kernel writes at most the bytes of `into`.
        let read = unsafe {
            libc::syscall(libc::SYS_read, c_long::from(file), into.as_mut_ptr(), into.len())
        };
        match usize::try_from(read) {
            Ok(read) => return Some(read),
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => return None,
        }
    }
}

//! Reading small files, such as those in `/proc` and `/sys`.

use super::errno::{ErrnoGuard, errno};
use core::ffi::{CStr, c_int, c_long};

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It does not exist or access is denied, which rarely changes later.
    Absent,
    /// The process or the system is temporarily out of descriptors or memory.
    NoRoom,
}

/// Reads a file from its start until the end or until `text` is full, and
/// returns the number of bytes. A read error counts as the end of the file. Not
/// a cancellation point.
pub fn read_file(path: &CStr, text: &mut [u8]) -> Result<usize, FileError> {
    let _guard = ErrnoGuard::save();
    let here = c_long::from(libc::AT_FDCWD);
    let flags = c_long::from(libc::O_RDONLY | libc::O_CLOEXEC);
    // SAFETY: the path ends with a null byte.
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
    // SAFETY: opened above, and not known to anyone else.
    unsafe { libc::syscall(libc::SYS_close, c_long::from(file)) };
    Ok(len)
}

/// Why the last open failed.
fn open_error() -> FileError {
    match errno() {
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR => FileError::NoRoom,
        _ => FileError::Absent,
    }
}

/// Number of bytes from one read, 0 at the end of the file. `None`: the read
/// failed.
fn read_some(file: c_int, into: &mut [u8]) -> Option<usize> {
    loop {
        // SAFETY: the kernel writes at most `into.len()` bytes.
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

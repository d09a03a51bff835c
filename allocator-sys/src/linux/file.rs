//! Reading small files, such as those in `/proc` and `/sys`.

use super::syscall::{Errno, syscall};
use core::ffi::CStr;

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
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let args = [libc::AT_FDCWD as usize, path.as_ptr().expose_provenance(), flags as usize];
    // SAFETY: the path ends with a null byte.
    let file = unsafe { syscall(libc::SYS_openat, args) }.map_err(open_error)?;
    let mut len = 0;
    while let Some(rest) = text.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match read_some(file, rest) {
            Some(0) | None => break,
            Some(read) => len += read,
        }
    }
    // SAFETY: opened above, and not known to anyone else.
    let _ = unsafe { syscall(libc::SYS_close, [file]) };
    Ok(len)
}

/// Why an open failed.
fn open_error(error: Errno) -> FileError {
    match error.0 {
        libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR => FileError::NoRoom,
        _ => FileError::Absent,
    }
}

/// Number of bytes from one read, 0 at the end of the file. `None`: the read
/// failed.
fn read_some(file: usize, into: &mut [u8]) -> Option<usize> {
    loop {
        let args = [file, into.as_mut_ptr().expose_provenance(), into.len()];
        // SAFETY: the kernel writes at most `into.len()` bytes.
        match unsafe { syscall(libc::SYS_read, args) } {
            Ok(read) => return Some(read),
            Err(Errno(libc::EINTR)) => {}
            Err(_) => return None,
        }
    }
}

/// Closes every descriptor of the calling task's table.
pub(super) fn close_all() {
    let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
    let path = c"/proc/thread-self/fd".as_ptr().expose_provenance();
    // SAFETY: the path ends with a null byte.
    let folder = unsafe { syscall(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags]) };
    let Ok(folder) = folder else { return (0..MOST_DESCRIPTORS).for_each(close) };
    let mut entries = [0u8; 1024];
    loop {
        let at = entries.as_mut_ptr().expose_provenance();
        // SAFETY: the kernel writes at most that many bytes.
        let len = unsafe { syscall(libc::SYS_getdents64, [folder, at, entries.len()]) };
        let mut rest = match len {
            Ok(len) if len != 0 => &entries[..len],
            _ => break,
        };
        while let Some(entry) = rest.get(LENGTH..LENGTH + 2) {
            let bytes = usize::from(u16::from_ne_bytes([entry[0], entry[1]])).max(FILE_NAME);
            if let Some(descriptor) = rest.get(FILE_NAME..).and_then(number)
                && descriptor != folder
            {
                close(descriptor);
            }
            rest = rest.get(bytes..).unwrap_or_default();
        }
    }
    close(folder);
}

/// Where an entry of a folder has its length, and its name.
const LENGTH: usize = 16;
const FILE_NAME: usize = 19;

/// Descriptors that are closed where the system does not list them.
const MOST_DESCRIPTORS: usize = 1 << 16;

/// The number that a text begins with.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number: Option<usize>, digit| {
        Some(number.unwrap_or(0).saturating_mul(10).saturating_add(usize::from(digit - b'0')))
    })
}

fn close(descriptor: usize) {
    // SAFETY: the caller's table has the descriptor, or the call does nothing.
    let _ = unsafe { syscall(libc::SYS_close, [descriptor]) };
}

//! Reading the kernel's files, such as those in `/proc` and `/sys`: the start of a small
//! one, or the lines of one of any length.

use super::syscall::{Errno, syscall};
use core::ffi::CStr;
use core::ops::ControlFlow;

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
    let file = open(path)?;
    let mut len = 0;
    while let Some(rest) = text.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match read_some(file, rest) {
            Some(0) | None => break,
            Some(read) => len += read,
        }
    }
    close(file);
    Ok(len)
}

/// Calls `f` for each line of a file, without the byte that ends it, until `f` breaks or
/// the file ends. A line that `buffer` has no room for, with the byte that ends it, is left
/// out. A read error counts as the end of the file. `f` must not unwind. Not a
/// cancellation point.
pub fn read_lines(
    path: &CStr,
    buffer: &mut [u8],
    f: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), FileError> {
    let file = open(path)?;
    lines(|rest| read_some(file, rest).unwrap_or(0), buffer, f);
    close(file);
    Ok(())
}

/// Calls `f` for each line of what `read` puts into the buffers that it gets; it returns
/// the number of bytes, 0 at the end.
pub(crate) fn lines(
    mut read: impl FnMut(&mut [u8]) -> usize,
    buffer: &mut [u8],
    mut f: impl FnMut(&[u8]) -> ControlFlow<()>,
) {
    // Bytes of the line that has begun; whether its start had to be dropped.
    let (mut begun, mut cut) = (0, false);
    while let Some(room) = buffer.get_mut(begun..).filter(|room| !room.is_empty()) {
        let end = match read(room) {
            0 => break,
            len => begun + len,
        };
        let mut rest = buffer.get(..end).unwrap_or_default();
        while let Some(len) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(len);
            if !cut && f(line).is_break() {
                return;
            }
            (rest, cut) = (after.get(1..).unwrap_or_default(), false);
        }
        let from = end - rest.len();
        begun = rest.len();
        if begun == buffer.len() {
            (begun, cut) = (0, true);
        } else {
            buffer.copy_within(from..end, 0);
        }
    }
    // The last line may lack its end.
    if let Some(line) = buffer.get(..begun).filter(|line| !line.is_empty() && !cut) {
        let _ = f(line);
    }
}

/// Opens a file for reading, and returns its descriptor.
fn open(path: &CStr) -> Result<usize, FileError> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let args = [libc::AT_FDCWD as usize, path.as_ptr().expose_provenance(), flags as usize];
    // SAFETY: the path ends with a null byte.
    unsafe { syscall(libc::SYS_openat, args) }.map_err(open_error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The lines of a text that arrives in parts of at most `part` bytes, through a buffer
    /// of `room` bytes; `most` of them.
    fn found(text: &[u8], part: usize, room: usize, most: usize) -> Vec<Vec<u8>> {
        let mut rest = text;
        let mut all = Vec::new();
        let read = |into: &mut [u8]| {
            let len = rest.len().min(part).min(into.len());
            into[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            len
        };
        lines(read, &mut std::vec![0; room], |line| {
            all.push(line.to_vec());
            if all.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        all
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        for part in 1..12 {
            for room in 6..20 {
                let all = found(b"one\n\nthree\nfour", part, room, 9);
                assert_eq!(all, [&b"one"[..], b"", b"three", b"four"], "{part} {room}");
            }
            assert_eq!(found(b"one\ntwo\nthree\n", part, 9, 2), [b"one", b"two"]);
        }
        assert!(found(b"", 9, 9, 9).is_empty());
        assert!(found(b"one\n", 9, 0, 9).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out_whole() {
        for part in 1..30 {
            for room in 4..14 {
                let all = found(b"one\nfourteen bytes\ntwo\nfourteen bytes", part, room, 9);
                assert_eq!(all, [b"one", b"two"], "{part} {room}");
            }
        }
    }

    #[test]
    fn a_file_is_read_through_a_small_buffer() {
        let path = c"/proc/self/status";
        let mut names = Vec::new();
        let read = read_lines(path, &mut [0; 128], |line| {
            names.extend(line.split(|byte| *byte == b':').next().map(<[u8]>::to_vec));
            ControlFlow::Continue(())
        });
        assert_eq!(read, Ok(()));
        let last = b"nonvoluntary_ctxt_switches";
        assert_eq!((&names[0][..], &names[names.len() - 1][..]), (&b"Name"[..], &last[..]));
        let absent = read_lines(c"/proc/self/no/such/file", &mut [0; 9], |_| unreachable!());
        assert_eq!(absent, Err(FileError::Absent));
    }
}

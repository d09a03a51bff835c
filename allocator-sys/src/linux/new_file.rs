//! Writing a file: a new one, or at the end of one.

use super::syscall::{Errno, syscall};
use core::ffi::{CStr, c_int};

/// A file that is being written.
pub struct NewFile {
    descriptor: usize,
    /// The first error, as in C's `errno`.
    failed: Option<c_int>,
}

impl NewFile {
    /// Creates a file that its owner alone may read, or empties the one that is there. It does not
    /// wait for the reader of a pipe, which is refused. Not a cancellation point.
    ///
    /// # Errors
    /// The error of the system, as in C's `errno`.
    pub fn create(path: &CStr) -> Result<NewFile, c_int> {
        Self::open(path, libc::O_TRUNC | libc::O_NONBLOCK | libc::O_NOCTTY)
    }

    /// Opens a file to append to it; creates one that its owner alone may read, if there is none.
    /// It does not wait for the reader of a pipe, which is refused. Not a cancellation point.
    ///
    /// # Errors
    /// The error of the system, as in C's `errno`.
    pub fn append(path: &CStr) -> Result<NewFile, c_int> {
        Self::open(path, libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOCTTY)
    }

    fn open(path: &CStr, how: c_int) -> Result<NewFile, c_int> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC | how;
        let mode = (libc::S_IRUSR | libc::S_IWUSR) as usize;
        let path = path.as_ptr().expose_provenance();
        let args = [libc::AT_FDCWD as usize, path, flags as usize, mode];
        // SAFETY: the path ends with a null byte.
        match unsafe { syscall(libc::SYS_openat, args) } {
            Ok(descriptor) => NewFile { descriptor, failed: None }.unless_pipe(),
            Err(Errno(error)) => Err(error),
        }
    }

    /// Refuses a pipe, which has no place to seek to: a write after its reader has gone would raise
    /// a signal. So it does a terminal.
    fn unless_pipe(self) -> Result<NewFile, c_int> {
        let args = [self.descriptor, 0, libc::SEEK_CUR as usize];
        // SAFETY: it changes nothing.
        match unsafe { syscall(libc::SYS_lseek, args) } {
            Err(Errno(libc::ESPIPE)) => {
                let _ = self.finish();
                Err(libc::ESPIPE)
            }
            _ => Ok(self),
        }
    }

    /// Appends bytes. After an error, nothing more is written.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && self.failed.is_none() {
            let args = [self.descriptor, rest.as_ptr().expose_provenance(), rest.len()];
            // SAFETY: the kernel reads at most `rest.len()` bytes.
            match unsafe { syscall(libc::SYS_write, args) } {
                Ok(0) => self.failed = Some(libc::EIO),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno(libc::EINTR)) => {}
                Err(Errno(error)) => self.failed = Some(error),
            }
        }
    }

    /// Closes the file.
    ///
    /// # Errors
    /// The first error of all writes, as in C's `errno`.
    pub fn finish(self) -> Result<(), c_int> {
        // SAFETY: the descriptor is this file's.
        let closed = unsafe { syscall(libc::SYS_close, [self.descriptor]) };
        match (self.failed, closed) {
            (Some(error), _) | (None, Err(Errno(error))) => Err(error),
            (None, Ok(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::{format, fs};

    #[test]
    fn what_was_written_is_in_the_file() {
        let path = std::env::temp_dir().join(format!("strata-new-file-{}", std::process::id()));
        let name = CString::new(path.to_str().unwrap()).unwrap();
        for text in ["a longer text", "text"] {
            let mut file = NewFile::create(&name).unwrap();
            file.write(text.as_bytes());
            file.write(b"!");
            assert_eq!(file.finish(), Ok(()));
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{text}!"));
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_appended_follows_what_was_there() {
        let path = std::env::temp_dir().join(format!("strata-append-{}", std::process::id()));
        let name = CString::new(path.to_str().unwrap()).unwrap();
        for so_far in ["text", "texttext"] {
            let mut file = NewFile::append(&name).unwrap();
            file.write(b"text");
            assert_eq!(file.finish(), Ok(()));
            assert_eq!(fs::read_to_string(&path).unwrap(), so_far);
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn errors_are_told() {
        assert_eq!(NewFile::create(c"/no/such/folder/file").err(), Some(libc::ENOENT));
        let (reader, writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let path = CString::new(path).unwrap();
        assert_eq!(NewFile::append(&path).err(), Some(libc::ESPIPE));
        assert_eq!(NewFile::create(&path).err(), Some(libc::ESPIPE));
        drop(reader);
        let mut full = NewFile::create(c"/dev/full").unwrap();
        full.write(b"text");
        full.write(b"more");
        assert_eq!(full.finish(), Err(libc::ENOSPC));
    }
}

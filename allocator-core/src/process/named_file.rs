//! Files that options name. The names are kept here: a program may overwrite the environment, from
//! which they are. A file is opened when there is something to write: a program may close all
//! descriptors that it does not know, and open others.

use core::ffi::CStr;
use core::fmt::{self, Write};

use crate::base::ordering;
use crate::base::published::PublishedCount;
use crate::base::sync::AtomicU8;
use crate::sys;

/// Most bytes of a name.
pub(super) const MOST: usize = 255;

/// A file, or none.
pub(crate) struct NamedFile {
    name: [AtomicU8; MOST],
    /// Its length; 0: there is no file.
    len: PublishedCount,
}

/// Where reports go, too.
pub(crate) static LOG: NamedFile = NamedFile::new();

/// Where the heap profile goes on a signal.
pub(crate) static PROFILE: NamedFile = NamedFile::new();

/// A path, with the null byte behind it.
pub(crate) struct Path {
    text: [u8; MOST + 64],
    len: usize,
}

impl NamedFile {
    const fn new() -> Self {
        NamedFile { name: [const { AtomicU8::new(0) }; MOST], len: PublishedCount::new() }
    }

    /// Sets the name; none if it is empty. `false`: it is too long, or has a null byte. Called by
    /// the thread that applies the options.
    pub(super) fn set(&self, name: &[u8]) -> bool {
        if name.len() > MOST || name.contains(&0) {
            return false;
        }
        self.len.publish(0);
        for (place, byte) in self.name.iter().zip(name) {
            place.store(*byte, ordering::file_name());
        }
        self.len.publish(name.len());
        true
    }

    /// Bytes of the name; 0: there is no file.
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// The name.
    pub(super) fn name(&self) -> impl Iterator<Item = u8> {
        let name = self.name.iter().take(self.len());
        name.map(|place| place.load(ordering::file_name()))
    }

    /// The path, with the number of the process for each `%p`. `None`: there is no file, or it is
    /// too long.
    pub(crate) fn path(&self) -> Option<Path> {
        let mut path = Path { text: [0; MOST + 64], len: 0 };
        let mut name = self.name().peekable();
        name.peek()?;
        while let Some(byte) = name.next() {
            match (byte, name.peek()) {
                (b'%', Some(b'p')) => {
                    name.next();
                    write!(path, "{}", sys::process_id()).ok()?;
                }
                _ => path.push(byte).ok()?,
            }
        }
        Some(path)
    }
}

impl Path {
    fn push(&mut self, byte: u8) -> fmt::Result {
        // The last byte stays null.
        let place = self.text.get_mut(self.len).filter(|_| self.len < MOST + 63);
        *place.ok_or(fmt::Error)? = byte;
        self.len += 1;
        Ok(())
    }

    /// For the system.
    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.text).unwrap_or_default()
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|byte| self.push(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_the_process_is_put_in() {
        let file = NamedFile::new();
        assert!(file.path().is_none());
        let id = sys::process_id();
        for (name, want) in [
            ("/a/b", format_args!("/a/b")),
            ("%p", format_args!("{id}")),
            ("a.%p.b%p%", format_args!("a.{id}.b{id}%")),
            ("%%p", format_args!("%{id}")),
        ] {
            let mut wanted = Path { text: [0; MOST + 64], len: 0 };
            write!(wanted, "{want}").unwrap();
            assert!(file.set(name.as_bytes()));
            assert_eq!(file.path().unwrap().as_c_str(), wanted.as_c_str());
        }
        assert!(file.set(b"") && file.path().is_none());
    }

    #[test]
    fn names_that_are_too_long_are_refused() {
        let file = NamedFile::new();
        assert!(file.set(&[b'a'; MOST]) && file.path().is_some());
        assert!(!file.set(&[b'b'; MOST + 1]) && !file.set(b"a\0b"));
        assert!(file.name().eq([b'a'; MOST]));
        // With the numbers, there is no room.
        assert!(file.set(&core::array::from_fn::<u8, { MOST - 1 }, _>(|i| b"%p"[i % 2])));
        assert!(file.path().is_none());
    }
}

//! What the addresses of a profile mean: the objects of the process that it is of, and its functions.

use std::fmt::Debug;
use std::path::PathBuf;

/// A function, and the line of it that made a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// As Rust or C++ write it, without the hash that Rust appends.
    pub name: String,
    /// Its source; empty if that is not known.
    pub file: String,
    /// The line; 0 if that is not known.
    pub line: u32,
}

/// A program or library in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its file.
    pub path: PathBuf,
    /// The addresses of its code, each with the place in the file.
    pub code: Vec<Code>,
    /// The id that the linker gave it; empty if it has none.
    pub build_id: Vec<u8>,
}

/// A part of an object that is executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The first address.
    pub start: usize,
    /// The address after the last.
    pub end: usize,
    /// The place of the first in the file, in bytes.
    pub offset: u64,
}

/// The process that a profile is of.
pub trait Process: Debug + Send + Sync {
    /// Its program and libraries.
    fn objects(&self) -> Vec<Object>;

    /// The function at an address behind a call, after those that were inlined there. None: they
    /// are not known.
    fn functions(&self, address: usize) -> Vec<Function>;
}

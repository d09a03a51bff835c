//! How an allocator is built.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::sources::Source;

/// An allocator that is built from the sources in a crate.
pub(super) struct Peer {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// The crate.
    pub(super) package: &'static str,
    /// The name of the library's file.
    pub(super) file: &'static str,
    /// Arguments of the compiler, or of the allocator's own build. A library
    /// that was built with others is not used.
    pub(super) flags: &'static [&'static str],
    /// Builds the library with these arguments in an empty directory, and
    /// returns its path.
    pub(super) make: fn(&Source, &[&str], &Path) -> Result<PathBuf>,
    /// The allocator's version.
    pub(super) version: fn(&Source) -> Result<String>,
}

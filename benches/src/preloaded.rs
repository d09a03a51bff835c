//! Allocators as C libraries that are preloaded, with their environment
//! variables.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::cargo;
use crate::installed::{install, version};
use crate::libraries;

/// The allocator that the others are compared with.
pub const OURS: &str = "strata";
/// The allocator whose memory ours is compared with.
pub const MEMORY: &str = "jemalloc";

/// jemalloc with its background thread.
pub const BACKGROUND: &str = "jemalloc-bg";

/// Where a library comes from.
enum Source {
    /// Built from this workspace.
    Built,
    /// Built from the sources in a crate: the library of this name.
    Crate(&'static str),
    /// A file of a Debian package.
    Debian { file: &'static str, package: &'static str },
}

struct Known {
    name: &'static str,
    source: Source,
    variables: &'static [(&'static str, &'static str)],
}

const fn plain(name: &'static str, source: Source) -> Known {
    Known { name, source, variables: &[] }
}

/// jemalloc with options of its own.
const fn jemalloc(name: &'static str, variables: &'static [(&'static str, &'static str)]) -> Known {
    Known { name, source: Source::Crate(MEMORY), variables }
}

/// glibc is preloaded too. For most programs this changes nothing, but a
/// program that comes with another allocator would not use glibc's otherwise.
const KNOWN: [Known; 11] = [
    plain(OURS, Source::Built),
    plain("glibc", Source::Debian { file: "libc.so.6", package: "libc6" }),
    plain(MEMORY, Source::Crate(MEMORY)),
    jemalloc(BACKGROUND, &[("MALLOC_CONF", "background_thread:true")]),
    // Huge pages, where the system leaves the choice to the program.
    jemalloc("jemalloc-thp", &[("MALLOC_CONF", "thp:always,metadata_thp:auto")]),
    plain("mimalloc", Source::Crate("mimalloc")),
    plain("mimalloc2", Source::Crate("mimalloc2")),
    plain("snmalloc", Source::Crate("snmalloc")),
    plain("rpmalloc", Source::Crate("rpmalloc")),
    // As recommended by its authors: it registers restartable sequences itself.
    Known {
        name: "tcmalloc",
        source: Source::Crate("tcmalloc"),
        variables: &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")],
    },
    // The older tcmalloc.
    plain(
        "gperftools",
        Source::Debian { file: "libtcmalloc_minimal.so.4", package: "libtcmalloc-minimal4" },
    ),
];

/// The names of all allocators.
pub fn names() -> Vec<&'static str> {
    KNOWN.iter().map(|known| known.name).collect()
}

/// An allocator that can be preloaded.
#[derive(Clone, Debug, Serialize)]
pub struct Allocator {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its own version, or its package's; none for ours.
    pub version: Option<String>,
    /// The library to preload.
    pub library: PathBuf,
    /// Variables to set in addition to `LD_PRELOAD`.
    pub variables: Vec<(&'static str, &'static str)>,
}

impl Allocator {
    /// Finds the allocator of this name, or builds it.
    pub fn find(name: &str) -> Result<Allocator> {
        let known = KNOWN.iter().find(|known| known.name == name).context("unknown")?;
        let (library, version) = match known.source {
            Source::Built => (cargo::library("allocator-capi", "libstrata.so")?, None),
            Source::Crate(name) => {
                let library = libraries::build(name)?;
                (library.path, Some(library.version))
            }
            Source::Debian { file, package } => {
                let path = PathBuf::from(format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH));
                let path = path.join(file);
                if !path.exists() {
                    bail!("{} is not installed; {}", path.display(), install(package));
                }
                (path, version(package))
            }
        };
        Ok(Allocator { name: known.name, version, library, variables: known.variables.to_vec() })
    }

    /// The environment variables that make a program use it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let preload = ("LD_PRELOAD", self.library.display().to_string());
        let others = self.variables.iter().map(|(name, value)| (*name, value.to_string()));
        std::iter::once(preload).chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glibc_is_found_and_preloaded_like_the_others() {
        let glibc = Allocator::find("glibc").unwrap();
        let environment = glibc.environment();
        assert_eq!(environment.len(), 1);
        assert_eq!(environment[0].0, "LD_PRELOAD");
        assert!(environment[0].1.ends_with("/libc.so.6"), "{environment:?}");
        assert!(Allocator::find("nothing").is_err());
    }

    #[test]
    fn names_are_unique() {
        let names = names();
        for (n, name) in names.iter().enumerate() {
            assert!(!names[n + 1..].contains(name));
        }
        assert!(names.contains(&MEMORY) && names[0] == OURS);
    }
}

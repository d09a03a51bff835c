//! Other allocators as shared libraries that can be preloaded, built from the
//! sources in the crates that the Rust programs use, in the same versions.
//!
//! Each is built as its authors build the library that replaces `malloc`.

mod sources;

mod tools;

mod peer;

mod store;

mod jemalloc;
mod mimalloc;
mod rpmalloc;
mod snmalloc;
mod tcmalloc;

use std::path::PathBuf;

use anyhow::{Context, Result};

use peer::Peer;
use sources::Source;

/// Every allocator that can be built.
const PEERS: [Peer; 6] = [
    jemalloc::JEMALLOC,
    mimalloc::MIMALLOC3,
    mimalloc::MIMALLOC2,
    snmalloc::SNMALLOC,
    rpmalloc::RPMALLOC,
    tcmalloc::TCMALLOC,
];

/// A library that can be preloaded.
#[derive(Clone, Debug)]
pub struct Library {
    /// Its file.
    pub path: PathBuf,
    /// The allocator's version, or that of the crate.
    pub version: String,
}

/// The library of the allocator of this name. It is built if it is not there
/// yet.
pub fn build(name: &str) -> Result<Library> {
    let peer = PEERS.iter().find(|peer| peer.name == name).context("unknown")?;
    let source = Source::find(peer.package)?;
    let version = (peer.version)(&source)?;
    let path = store::keep(&source, peer)?;
    Ok(Library { path, version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_all_are_there_and_say_their_version() {
        let version = |peer: &Peer| (peer.version)(&Source::find(peer.package).unwrap()).unwrap();
        for peer in &PEERS {
            let version = version(peer);
            assert!(version.contains(|c: char| c.is_ascii_digit()), "{}: {version}", peer.name);
        }
        assert!(version(&mimalloc::MIMALLOC2).starts_with("2."));
        assert!(version(&mimalloc::MIMALLOC3).starts_with("3."));
        assert!(version(&jemalloc::JEMALLOC).starts_with("5."));
    }

    #[test]
    fn a_library_is_built_once_and_can_be_preloaded() {
        let first = build("rpmalloc").unwrap();
        let built = first.path.metadata().unwrap().modified().unwrap();
        let second = build("rpmalloc").unwrap();
        assert_eq!(second.path, first.path);
        assert_eq!(second.path.metadata().unwrap().modified().unwrap(), built);

        let mut cat = std::process::Command::new("/bin/cat");
        let output = cat.env("LD_PRELOAD", &first.path).arg("/proc/self/maps").output().unwrap();
        let maps = String::from_utf8(output.stdout).unwrap();
        assert!(maps.contains(first.path.to_str().unwrap()), "{maps}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        assert!(build("nothing").is_err());
    }
}

//! The libraries that have been built.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::peer::Peer;
use super::sources::Source;

/// The library of an allocator, which is built if it is not there yet.
pub(super) fn keep(source: &Source, peer: &Peer) -> Result<PathBuf> {
    let all = source.target.join("peers");
    let library = all.join(directory(source, peer)).join(peer.file);
    if library.exists() {
        return Ok(library);
    }
    eprintln!("building {} from {}", peer.file, source.crate_version()?);
    publish(&all, &library, |scratch| {
        let built = (peer.make)(source, peer.flags, scratch);
        built.with_context(|| format!("cannot build {}", peer.file))
    })?;
    Ok(library)
}

/// The name of an allocator's directory. It differs for each version and for
/// each set of flags.
fn directory(source: &Source, peer: &Peer) -> String {
    let mut hasher = DefaultHasher::new();
    peer.flags.hash(&mut hasher);
    format!("{}-{}-{:08x}", peer.name, source.version, hasher.finish() as u32)
}

/// Builds a file in a temporary directory and puts it in its place. Nobody sees
/// a part of it there. If two processes build it at the same time, each has a
/// directory of its own, and the first file stays: it may be in use already.
fn publish(all: &Path, file: &Path, make: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<()> {
    let put = || format!("cannot write {}", file.display());
    fs::create_dir_all(file.parent().context("no directory")?).with_context(put)?;
    // On the same file system, as the link needs.
    let scratch = tempfile::Builder::new().prefix("build-").tempdir_in(all).with_context(put)?;
    let built = make(scratch.path())?;
    match fs::hard_link(built, file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        put_there => put_there.with_context(put),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::super::rpmalloc::RPMALLOC;
    use super::*;

    #[test]
    fn a_file_appears_as_a_whole_or_not_at_all() {
        let all = tempfile::tempdir().unwrap();
        let file = all.path().join("a").join("b.so");
        let failed = publish(all.path(), &file, |scratch| {
            fs::write(scratch.join("b.so"), "half")?;
            bail!("no more")
        });
        assert!(failed.is_err() && !file.exists());
        for text in ["first", "second"] {
            publish(all.path(), &file, |scratch| {
                let built = scratch.join("c");
                fs::write(&built, text)?;
                Ok(built)
            })
            .unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), "first");
        }
        let left: Vec<_> = fs::read_dir(all.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn other_flags_have_another_directory() {
        let source = Source::find(RPMALLOC.package).unwrap();
        let other = Peer { flags: &["-O0"], ..RPMALLOC };
        let (one, two) = (directory(&source, &RPMALLOC), directory(&source, &other));
        assert!(one.starts_with("rpmalloc-0."), "{one}");
        assert_ne!(one, two);
        assert_eq!(one, directory(&source, &RPMALLOC));
    }
}

//! jemalloc, built by its own `configure` and makefile.

use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context, Result};

use super::peer::Peer;
use super::sources::Source;
use super::tools::{CC, CXX, MAKE, SHELL};

/// The library that Debian's package of jemalloc replaces `malloc` with, in the
/// version of the crate.
pub(super) const JEMALLOC: Peer = Peer {
    name: "jemalloc",
    package: "tikv-jemalloc-sys",
    file: "libjemalloc.so.2",
    // All else is what INSTALL.md gives as the default: plain names, optimized,
    // statistics, C++ operators.
    flags: &[
        // Only the shared library is built here.
        "--disable-static",
        // Manual pages need programs of their own.
        "--disable-doc",
    ],
    make,
    version,
};

/// What `mallctl` calls the version. Without git, `configure` has to be told;
/// the crate's version ends with it.
fn told(source: &Source) -> &str {
    source.version.build.as_str()
}

fn version(source: &Source) -> Result<String> {
    let (version, _) = told(source).split_once('-').context("the crate does not say which")?;
    Ok(version.to_owned())
}

fn make(source: &Source, flags: &[&str], scratch: &Path) -> Result<PathBuf> {
    // Without C++, `configure` leaves out the operators.
    for tool in [CC, CXX, MAKE] {
        tool.require()?;
    }
    // The crate keeps the generated script beside the sources. They are built
    // in another directory, as they must not change.
    let mut configure = SHELL.command();
    configure
        .current_dir(scratch)
        .arg(source.directory.join("configure/configure"))
        .arg(format!("--srcdir={}", source.directory.join("jemalloc").display()))
        .arg(format!("--with-version={}", told(source)))
        .args(flags);
    SHELL.run(&mut configure)?;
    let jobs = available_parallelism().map_or(1, usize::from);
    let mut make = MAKE.command();
    MAKE.run(make.current_dir(scratch).arg(format!("-j{jobs}")).arg("build_lib_shared"))?;
    Ok(scratch.join("lib").join(JEMALLOC.file))
}

//! rpmalloc.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::peer::Peer;
use super::sources::Source;
use super::tools::CC;

/// The library `rpmallocwrap` of `configure.py`, in its configuration `release`.
/// That script needs ninja; there is but one file to compile.
pub(super) const RPMALLOC: Peer = Peer {
    name: "rpmalloc",
    package: "rpmalloc-sys",
    file: "librpmallocwrap.so",
    // From `configure.py` and, where it is not said, `build/ninja/clang.py`. Its
    // flags for floating point are left out: there is none here, and gcc would
    // link code that changes the arithmetic of the program.
    flags: &[
        // Exports `malloc`, and starts with the process and each thread
        // (`configure.py`).
        "-DENABLE_PRELOAD=1",
        "-DENABLE_OVERRIDE=1",
        // make_cconfigflags
        "-DBUILD_RELEASE=1",
        "-O3",
        "-funroll-loops",
        // make_carchflags: how it learns that a thread ends.
        "-DBUILD_DYNAMIC_LINK=1",
        "-fPIC",
        // "Base flags", and those for Linux
        "-std=c11",
        "-D_GNU_SOURCE=1",
        "-fstrict-aliasing",
        "-fvisibility=hidden",
        "-fno-stack-protector",
        "-fomit-frame-pointer",
        "-shared",
        "-pthread",
        "-ldl",
    ],
    make,
    version: Source::crate_version,
};

fn make(source: &Source, flags: &[&str], scratch: &Path) -> Result<PathBuf> {
    let library = scratch.join(RPMALLOC.file);
    let file = source.directory.join("rpmalloc/rpmalloc/rpmalloc.c");
    CC.run(CC.command().args(flags).arg(file).arg("-o").arg(&library))?;
    Ok(library)
}

//! snmalloc.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::peer::Peer;
use super::sources::Source;
use super::tools::CXX;

/// The library `snmallocshim` of `CMakeLists.txt`, with default options. CMake
/// itself is not needed for two files.
pub(super) const SNMALLOC: Peer = Peer {
    name: "snmalloc",
    package: "snmalloc-sys",
    file: "libsnmallocshim.so",
    flags: &[
        // target_compile_features
        "-std=c++20",
        // The build type, which is Release if there is none.
        "-O3",
        "-DNDEBUG",
        // What it checks for, as Linux on this processor has it.
        "-mcx16",
        "-mprfchw",
        "-DSNMALLOC_PLATFORM_HAS_GETENTROPY",
        "-DSNMALLOC_HAS_LINUX_RANDOM_H",
        "-DSNMALLOC_HAS_LINUX_FUTEX_H",
        // Options and their defaults
        "-DSNMALLOC_USE_WAIT_ON_ADDRESS=1",
        "-DSNMALLOC_NO_REALLOCARRAY",
        "-DSNMALLOC_NO_REALLOCARR",
        "-DSNMALLOC_CHECK_LOADS=false",
        "-DSNMALLOC_PAGEID=false",
        // SNMALLOC_CLEANUP_DEFAULT on Linux: how it learns that a thread ends.
        "-DSNMALLOC_USE_CXX11_THREAD_ATEXIT_DIRECT",
        // function(compile): for all libraries that it builds
        "-DSNMALLOC_EXPORT=__attribute__((visibility(\"default\")))",
        "-fvisibility=hidden",
        "-fomit-frame-pointer",
        "-ftls-model=initial-exec",
        "-ffunction-sections",
        "-static-libstdc++",
        "-shared",
        "-fPIC",
        "-pthread",
    ],
    make,
    version: Source::crate_version,
};

fn make(source: &Source, flags: &[&str], scratch: &Path) -> Result<PathBuf> {
    let library = scratch.join(SNMALLOC.file);
    let sources = source.directory.join("upstream/src");
    let overrides = sources.join("snmalloc/override");
    let mut command = CXX.command();
    command
        .args(flags)
        .arg("-I")
        .arg(&sources)
        .args([overrides.join("malloc.cc"), overrides.join("new.cc")])
        // For 16 bytes gcc calls it. Behind the files that need it.
        .arg("-latomic")
        .arg("-o")
        .arg(&library);
    CXX.run(&mut command)?;
    Ok(library)
}

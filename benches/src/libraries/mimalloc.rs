//! mimalloc 2 and 3, from one crate.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::peer::Peer;
use super::sources::Source;
use super::tools::CC;

/// Arguments for the target `mimalloc` of `CMakeLists.txt`, which is the shared
/// library, with default options. CMake itself is not needed for these.
const FLAGS: &[&str] = &[
    // CMAKE_C_STANDARD, with CMake's default of the compiler's extensions.
    "-std=gnu11",
    // The build type, which is Release if there is none.
    "-O3",
    "-DNDEBUG",
    // The library as such, and MI_OVERRIDE: it exports `malloc`.
    "-DMI_SHARED_LIB",
    "-DMI_SHARED_LIB_EXPORT",
    "-DMI_MALLOC_OVERRIDE",
    "-DMI_BUILD_RELEASE",
    // "Compiler flags" for gcc and clang. Calls of `malloc` in it are its own.
    "-fvisibility=hidden",
    "-ftls-model=initial-exec",
    "-fno-builtin-malloc",
    "-shared",
    "-fPIC",
    "-pthread",
];

const fn peer(
    name: &'static str,
    file: &'static str,
    make: fn(&Source, &[&str], &Path) -> Result<PathBuf>,
    version: fn(&Source) -> Result<String>,
) -> Peer {
    Peer { name, package: "libmimalloc-sys", file, flags: FLAGS, make, version }
}

/// mimalloc 3.
pub(super) const MIMALLOC3: Peer = peer(
    "mimalloc",
    "libmimalloc.so.3",
    |source, flags, scratch| make(&tree(source, "v3"), flags, &scratch.join(MIMALLOC3.file)),
    |source| version(&tree(source, "v3")),
);

/// mimalloc 2.
pub(super) const MIMALLOC2: Peer = peer(
    "mimalloc2",
    "libmimalloc.so.2",
    |source, flags, scratch| make(&tree(source, "v2"), flags, &scratch.join(MIMALLOC2.file)),
    |source| version(&tree(source, "v2")),
);

/// The sources of one of the two.
fn tree(source: &Source, which: &str) -> PathBuf {
    source.directory.join("c_src/mimalloc").join(which)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// As `mi_version` returns it: two digits each for minor version and patch.
fn version(tree: &Path) -> Result<String> {
    let header = tree.join("include/mimalloc.h");
    let number = number(&read(&header)?);
    let number = number.with_context(|| format!("no version in {}", header.display()))?;
    Ok(format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100))
}

fn number(header: &str) -> Option<u32> {
    let (_, rest) = header.split_once("#define MI_MALLOC_VERSION ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The list of files in `CMakeLists.txt`.
fn files(cmake: &str) -> Option<Vec<&str>> {
    let (_, list) = cmake.split_once("set(mi_sources")?;
    let (list, _) = list.split_once(')')?;
    Some(list.split_whitespace().collect())
}

fn make(tree: &Path, flags: &[&str], library: &Path) -> Result<PathBuf> {
    let cmake = read(&tree.join("CMakeLists.txt"))?;
    let files = files(&cmake).context("no list of files in CMakeLists.txt")?;
    let mut command = CC.command();
    command.current_dir(tree).args(flags).arg("-Iinclude").args(files).arg("-o").arg(library);
    CC.run(&mut command)?;
    Ok(library.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_and_the_files_are_read() {
        assert_eq!(number("a\n#define MI_MALLOC_VERSION 30302   // b"), Some(30302));
        assert_eq!(number("#define MI_MALLOC_VERSION x"), None);
        let cmake = "set(mi_sources\n    src/alloc.c\n    src/prim/prim.c)\nset(a b)";
        assert_eq!(files(cmake).unwrap(), ["src/alloc.c", "src/prim/prim.c"]);
        assert_eq!(files("set(a b)"), None);
    }

    #[test]
    fn each_file_of_both_exists() {
        let source = Source::find(MIMALLOC3.package).unwrap();
        for which in ["v2", "v3"] {
            let tree = tree(&source, which);
            let cmake = read(&tree.join("CMakeLists.txt")).unwrap();
            let files = files(&cmake).unwrap();
            assert!(files.len() > 10 && files.iter().all(|file| tree.join(file).exists()));
        }
    }
}

//! Google's tcmalloc.
//!
//! Its own build needs Bazel and a download of Abseil. So cargo builds the
//! crate, with its copy of Abseil and its patches, as for a Rust program. The
//! result lacks one thing: the names `malloc` and so on. They are in a file of
//! tcmalloc that the crate compiles without them. It is compiled again here, and
//! linked with the rest.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::Message;

use super::peer::Peer;
use super::sources::Source;
use super::tools::{CXX, Tool};

const CARGO: Tool = Tool { program: "cargo", package: "cargo" };

/// The target `//tcmalloc` of its `BUILD` file: pages of 8 KiB.
pub(super) const TCMALLOC: Peer = Peer {
    name: "tcmalloc",
    package: "libtcmalloc-sys",
    file: "libtcmalloc.so",
    // As in the crate's `build.rs`, so that all files are compiled in the same
    // way, less TCMALLOC_INTERNAL_METHODS_ONLY, which leaves out the names.
    flags: &[
        "-std=c++17",
        "-O3",
        "-DNDEBUG",
        "-DNOMINMAX",
        // The crate's default feature `8k_pages`
        "-DTCMALLOC_INTERNAL_8K_PAGES",
        "-fno-omit-frame-pointer",
        "-fstack-protector",
        // Aliases of functions with other attributes: many lines, no errors.
        "-w",
        "-shared",
        "-fPIC",
        "-pthread",
    ],
    make,
    version: Source::crate_version,
};

fn make(source: &Source, flags: &[&str], scratch: &Path) -> Result<PathBuf> {
    CXX.require()?;
    let crate_built = built(source)?;
    let sources = crate_built.join("patched_deps/c_src");
    let library = scratch.join(TCMALLOC.file);
    let mut command = CXX.command();
    command
        .args(flags)
        .arg("-I")
        .arg(sources.join("tcmalloc"))
        .arg("-I")
        .arg(sources.join("abseil-cpp"))
        .arg(sources.join("tcmalloc/tcmalloc/tcmalloc.cc"))
        .arg(crate_built.join("libtcmalloc.a"))
        .arg("-o")
        .arg(&library);
    CXX.run(&mut command)?;
    Ok(library)
}

/// Has cargo build the crate, and returns the directory of the result. Cargo
/// does not build an optional dependency by its name, only what depends on it;
/// to check that is enough.
fn built(source: &Source) -> Result<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| CARGO.program.into()));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["check", "--package", "subject", "--features", "tcmalloc", "--release"])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(&source.target);
    let said = CARGO.output(&mut command)?;
    let scripts = Message::parse_stream(said.as_slice()).filter_map(|message| match message {
        Ok(Message::BuildScriptExecuted(script)) => Some(script),
        _ => None,
    });
    let name = format!("#{}@", source.package);
    let mut found = scripts.filter(|script| script.package_id.repr.contains(&name));
    let script = found.next().with_context(|| format!("cargo built no {}", source.package))?;
    Ok(script.out_dir.into_std_path_buf())
}

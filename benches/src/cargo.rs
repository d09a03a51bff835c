//! Builds programs of this package, and the C library, with cargo.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Builds programs with features, in the target directory of the running
/// program. Returns their names and paths.
pub fn build(bins: &[String], features: &[&str], profile: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut arguments = vec!["--package", "benches", "--profile", profile];
    let features = features.join(",");
    arguments.extend(["--features", &features]);
    for bin in bins {
        arguments.extend(["--bin", bin]);
    }
    Ok(messages(&arguments)?.lines().filter_map(executable).collect())
}

/// Every allocator that has a program. A peer's program requires the feature of
/// that name.
pub const ALLOCATORS: [&str; 8] =
    ["strata", "mimalloc", "mimalloc2", "jemalloc", "glibc", "snmalloc", "rpmalloc", "tcmalloc"];

/// Builds the program `PREFIX-NAME` of each of these allocators. Returns its
/// path, or the reason why it was not built.
///
/// One call of cargo builds most; if it fails, each is built separately.
/// `mimalloc2` is always built separately, as it is the same crate as
/// `mimalloc`.
pub fn each(prefix: &str, allocators: &[&str], profile: &str) -> Vec<Result<PathBuf>> {
    let most: Vec<&str> = allocators.iter().copied().filter(|name| *name != "mimalloc2").collect();
    let together = |names: &[&str]| {
        let bins: Vec<String> = names.iter().map(|name| format!("{prefix}-{name}")).collect();
        let peers = names.iter().copied().filter(|name| !matches!(*name, "strata" | "glibc"));
        build(&bins, &peers.collect::<Vec<_>>(), profile)
    };
    let built = if most.len() > 1 { together(&most).unwrap_or_default() } else { Vec::new() };
    let find = |name: &str| {
        let bin = format!("{prefix}-{name}");
        let of = |built: &[(String, PathBuf)]| {
            let found = built.iter().find(|(built, _)| *built == bin);
            found.map(|(_, path)| path.clone())
        };
        match of(&built) {
            Some(path) => Ok(path),
            None => of(&together(&[name])?).with_context(|| format!("no {bin} was built")),
        }
    };
    allocators.iter().map(|name| find(name)).collect()
}

/// Builds the C library in release mode and returns the file of this name.
pub fn library(package: &str, file: &str) -> Result<PathBuf> {
    let text = messages(&["--package", package, "--release"])?;
    let built = text.lines().find_map(|line| shared(line, file));
    built.with_context(|| format!("cargo built no {file}"))
}

/// The standard output of `cargo build` with these arguments.
fn messages(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .stderr(Stdio::inherit());
    if let Some(dir) = target_dir() {
        command.arg("--target-dir").arg(dir);
    }
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo build: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The path of the file of this name, if a line of cargo's JSON contains it.
fn shared(line: &str, file: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let made = message.get("filenames")?.as_array()?;
    let mut paths = made.iter().filter_map(|path| path.as_str()).map(PathBuf::from);
    paths.find(|path| path.file_name() == Some(OsStr::new(file)))
}

/// The name and path of the program in a line of cargo's JSON.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}

/// The target directory that contains the running program.
fn target_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.parent()?.parent()?.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let line = r#"{"target":{"name":"micro-glibc"},"executable":"/t/release/micro-glibc"}"#;
        let found = executable(line).unwrap();
        assert_eq!(found.0, "micro-glibc");
        assert_eq!(found.1, PathBuf::from("/t/release/micro-glibc"));
        let library = r#"{"target":{"name":"x"},"executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable("not json"), None);
    }

    #[test]
    fn the_library_is_found_among_what_was_made() {
        let line = r#"{"filenames":["/t/release/libx.a","/t/release/libx.so"]}"#;
        assert_eq!(shared(line, "libx.so"), Some(PathBuf::from("/t/release/libx.so")));
        assert_eq!(shared(line, "liby.so"), None);
        assert_eq!(shared(r#"{"reason":"build-finished"}"#, "libx.so"), None);
    }
}

//! Builds the subject and the C library with cargo, in the target directory of
//! the running program.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Leashed;

/// Time limit for cargo.
const LIMIT: Duration = Duration::from_secs(1800);

/// Builds a program of the package `subject` with a feature, or with none, and
/// returns its path: a copy under this name, as cargo gives all of them the same.
pub fn subject(bin: &str, name: &str, feature: Option<&str>, profile: &str) -> Result<PathBuf> {
    let mut arguments = vec!["--package", "subject", "--bin", bin, "--profile", profile];
    if let Some(feature) = feature {
        arguments.extend(["--features", feature]);
    }
    let lines = messages(&arguments)?;
    let built = lines.iter().find_map(|line| executable(line));
    let built = built.with_context(|| format!("cargo built no {bin}"))?;
    let dir = built.parent().context("a program in no directory")?.join(format!("{bin}s"));
    let copy = dir.join(name);
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    // A file that runs cannot be written to, but replaced.
    let _ = fs::remove_file(&copy);
    fs::copy(&built, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}

/// Builds the C library in release mode and returns the file of this name.
pub fn library(package: &str, file: &str) -> Result<PathBuf> {
    let lines = messages(&["--package", package, "--release"])?;
    let built = lines.iter().find_map(|line| shared(line, file));
    built.with_context(|| format!("cargo built no {file}"))
}

/// The profile of this program; release for a debug build, as measuring those is
/// not useful.
pub fn profile() -> String {
    match own_dir().as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
        None | Some("debug" | "deps") => String::from("release"),
        Some(name) => name.to_owned(),
    }
}

/// The target directory that contains the running program.
pub fn target_dir() -> PathBuf {
    let above = |dir: PathBuf| {
        let dir = if dir.ends_with("deps") { dir.parent()?.to_owned() } else { dir };
        Some(dir.parent()?.to_owned())
    };
    own_dir()
        .and_then(above)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

fn own_dir() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_path_buf())
}

/// The lines that `cargo build` prints with these arguments.
fn messages(arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .arg("--target-dir")
        .arg(target_dir());
    let mut build = Leashed::start(&mut command, "cargo build")?;
    let (status, lines) = build.run(LIMIT)?;
    if !status.success() {
        bail!("it did not build: {}", reason(&build.errors()));
    }
    Ok(lines)
}

/// Why a build failed, in one line.
fn reason(errors: &[String]) -> String {
    let said =
        |line: &&String| !line.trim().is_empty() && !line.starts_with("warning: build failed");
    // Output of a build script is indented at the end of cargo's message.
    let script = errors.iter().any(|line| line.contains("failed to run custom build command"));
    let first = errors.iter().find(|line| line.starts_with("error"));
    let last = errors.iter().rev().find(said);
    match (script, first, last) {
        (true, Some(first), Some(last)) => format!("{first}; {}", last.trim()),
        (false, Some(first), _) => first.clone(),
        (_, _, last) => last.map_or_else(|| String::from("no reason given"), String::clone),
    }
}

/// The path of the file of this name, if a line of cargo's JSON contains it.
fn shared(line: &str, file: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let made = message.get("filenames")?.as_array()?;
    let mut paths = made.iter().filter_map(|path| path.as_str()).map(PathBuf::from);
    paths.find(|path| path.file_name() == Some(OsStr::new(file)))
}

/// The path of the program in a line of cargo's JSON.
fn executable(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(PathBuf::from(message.get("executable")?.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let line = r#"{"target":{"name":"subject"},"executable":"/t/release/subject"}"#;
        assert_eq!(executable(line), Some(PathBuf::from("/t/release/subject")));
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

    #[test]
    fn a_build_that_fails_says_why() {
        let error =
            format!("{:#}", subject("subject", "x", Some("no-such-feature"), "dev").unwrap_err());
        assert!(error.contains("no-such-feature"), "{error}");
    }

    #[test]
    fn the_reason_is_the_compilers_error_or_the_scripts_last_words() {
        let lines = |text: &str| text.lines().map(String::from).collect::<Vec<_>>();
        let compiler = lines("  Compiling x\nerror[E0425]: no value `y`\n --> a.rs\n");
        assert_eq!(reason(&compiler), "error[E0425]: no value `y`");
        let script = lines(
            "error: failed to run custom build command for `s`\n  stderr\n  no c++ compiler\n\n\
             warning: build failed, waiting for other jobs to finish...\n",
        );
        assert!(reason(&script).contains("`s`") && reason(&script).ends_with("; no c++ compiler"));
        assert_eq!(reason(&[]), "no reason given");
    }
}

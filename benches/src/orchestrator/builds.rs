//! Builds the server programs with cargo, in the profile and the target
//! directory of this program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use benches::process::Leashed;
use benches::progress::Progress;

use crate::orchestrator::figures::Contender;

/// Time limit for cargo.
const LIMIT: Duration = Duration::from_secs(1200);
/// Two allocators that are the same crate with different features.
const ALONE: &str = "mimalloc2";

/// Builds the contenders' servers, and the counting server, which is returned.
///
/// One call of cargo builds most of them; if it fails, each is built
/// separately, so that one failure does not affect the others.
pub(crate) fn all(contenders: &mut [Contender], progress: &Progress) -> Result<PathBuf> {
    let start = Instant::now();
    let names: Vec<String> = contenders.iter().map(|contender| contender.name.clone()).collect();
    progress.now(&format!("building the servers: {}", names.join(", ")));

    let together: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| *name != ALONE).chain(["count"]).collect();
    let built = cargo(&together).unwrap_or_default();
    let find = |name: &str| {
        built
            .iter()
            .find(|(bin, _)| *bin == bin_name(name))
            .map(|(_, path)| Ok(path.clone()))
            .unwrap_or_else(|| alone(name, progress))
    };

    for contender in contenders.iter_mut() {
        match find(&contender.name) {
            Ok(path) => contender.program = Some(path),
            Err(error) => {
                let error = format!("did not build: {error:#}");
                progress.say(&format!("{}: {error}", contender.name));
                contender.error = Some(error);
            }
        }
    }
    let counting = find("count");
    progress.say(&format!("built in {:.0} s", start.elapsed().as_secs_f64()));
    counting
}

fn alone(name: &str, progress: &Progress) -> Result<PathBuf> {
    progress.now(&format!("building {}", bin_name(name)));
    match cargo(&[name])?.pop() {
        Some((_, path)) => Ok(path),
        None => bail!("cargo built no {}", bin_name(name)),
    }
}

fn bin_name(name: &str) -> String {
    format!("server-{name}")
}

/// The feature that the server for `name` needs, if any.
fn feature(name: &str) -> Option<&str> {
    (!matches!(name, "strata" | "glibc" | "count")).then_some(name)
}

/// Builds these servers and returns the programs' names and paths.
fn cargo(names: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let features: Vec<&str> = names.iter().copied().filter_map(feature).collect();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--package", "benches", "--message-format", "json-render-diagnostics"])
        .args(["--profile", &profile()])
        .arg("--target-dir")
        .arg(target_dir());
    for name in names {
        command.args(["--bin", &bin_name(name)]);
    }
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    let mut build = Leashed::start(&mut command, "cargo build")?;
    let (status, lines) = build.run(LIMIT)?;
    if !status.success() {
        bail!("{}", reason(&build.errors()));
    }
    Ok(lines.iter().filter_map(|line| executable(line)).collect())
}

/// The name and path of the program in a line of cargo's JSON.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
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

/// The profile of this program; release for a debug build, as comparing debug
/// builds is not useful.
fn profile() -> String {
    match own_dir().as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
        None | Some("debug" | "deps") => String::from("release"),
        Some(name) => name.to_owned(),
    }
}

fn own_dir() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_path_buf())
}

/// The target directory that contains this program.
pub(crate) fn target_dir() -> PathBuf {
    own_dir()
        .and_then(|dir| Some(dir.parent()?.to_path_buf()))
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"server-glibc"},
                       "executable":"/t/release/server-glibc"}"#;
        let found = executable(line).unwrap();
        assert_eq!(found, ("server-glibc".into(), PathBuf::from("/t/release/server-glibc")));
        assert_eq!(executable(r#"{"target":{"name":"x"},"executable":null}"#), None);
        assert_eq!(executable("not json"), None);
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

    #[test]
    fn only_peers_need_a_feature() {
        let needed: Vec<&str> =
            crate::orchestrator::cli::KNOWN.into_iter().filter_map(feature).collect();
        assert_eq!(
            needed,
            ["mimalloc", "mimalloc2", "jemalloc", "snmalloc", "rpmalloc", "tcmalloc"]
        );
    }
}

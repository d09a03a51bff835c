//! Builds programs of this package with cargo.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Builds these programs with these features in the target directory of the
/// running program: their names and paths.
pub(crate) fn build(
    bins: &[String],
    features: &[&str],
    profile: &str,
) -> Result<Vec<(String, PathBuf)>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--package", "benches", "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        .args(["--features", &features.join(",")])
        .stderr(Stdio::inherit());
    if let Some(dir) = target_dir() {
        command.arg("--target-dir").arg(dir);
    }
    for bin in bins {
        command.args(["--bin", bin]);
    }
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo build: {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(executable).collect())
}

/// The name and the path of the program that a line of cargo's JSON tells of.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}

/// The target directory that the running program lies in.
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
}

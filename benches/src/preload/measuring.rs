//! Measuring a program on a preloaded allocator.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use benches::measured::Measured;
use benches::preloaded::Allocator;
use benches::process::Leashed;

/// The command that measures `program` on `allocator`, with no other
/// environment variables; the program's arguments are added by the caller.
pub(crate) fn measuring(runner: &Path, allocator: &Allocator, program: &Path) -> Command {
    let mut command = Command::new(runner);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .arg("measure")
        .args(allocator.environment().iter().map(|(name, value)| format!("{name}={value}")))
        .arg(program);
    command
}

/// Waits for a command of [`measuring`] to exit, and parses its output.
pub(crate) fn finish(run: &mut Leashed, limit: Duration) -> Result<Measured> {
    let (status, lines) = run.run(limit)?;
    if !status.success() {
        let errors = run.errors();
        let end = errors.len().saturating_sub(3);
        bail!("{}", errors[end..].join("; "));
    }
    let line = lines.first().context("no output")?;
    serde_json::from_str(line).with_context(|| format!("unexpected output: {line}"))
}

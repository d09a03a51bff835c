//! Runs and their figures, a line for each, in a file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// The commit that is checked out, with a plus if files differ from it; `unknown` if git
/// does not say.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let differs = git(&["status", "--porcelain"]).is_some_and(|it| !it.is_empty());
    commit + if differs { "+" } else { "" }
}

/// Appends a line: the commit, and these figures. A new file begins with their names.
///
/// # Errors
/// Those of the file.
pub fn append(path: &Path, figures: &[(&str, String)]) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut lines = String::new();
    if is_new {
        let names: Vec<&str> = figures.iter().map(|(name, _)| *name).collect();
        lines += &format!("commit\t{}\n", names.join("\t"));
    }
    let values: Vec<&str> = figures.iter().map(|(_, value)| value.as_str()).collect();
    lines += &format!("{}\t{}\n", commit(), values.join("\t"));
    file.write_all(lines.as_bytes())
}

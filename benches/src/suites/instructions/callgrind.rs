//! Executed instructions, from callgrind.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Counts of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Instructions of the whole run.
    pub(crate) total: u64,
    /// Instructions by function, callees included.
    pub(crate) inclusive: HashMap<String, u64>,
}

/// Runs `program inst LOOP ROUNDS` under callgrind; `dir` is for its file.
pub(crate) fn run(program: &Path, name: &str, rounds: u64, dir: &Path) -> Result<Counts> {
    let text = file(program, &["inst", name, &rounds.to_string()], &[], dir)?;
    Counts::parse(&text).context("callgrind counted nothing")
}

/// What callgrind writes of a run of a program with these arguments, with these options of its own;
/// `dir` is for its file.
pub(crate) fn file(
    program: &Path,
    arguments: &[&str],
    options: &[&str],
    dir: &Path,
) -> Result<String> {
    let out = dir.join("callgrind");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .args(options)
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot start valgrind")?;
    if !output.status.success() {
        let (run, errors) = (arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        bail!("valgrind {run}: {}\n{errors}", output.status);
    }
    fs::read_to_string(&out).with_context(|| out.display().to_string())
}

impl Counts {
    /// Parses callgrind's format: each `fn=` is followed by the costs of its
    /// lines, and each `calls=` by the inclusive cost of the callee. Names are
    /// written once, as `(7) name`, and then as `(7)`.
    fn parse(text: &str) -> Option<Counts> {
        let mut counts = Counts::default();
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut current: Option<&str> = None;
        let mut total = None;
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=') {
                if matches!(key, "fn" | "cfn") {
                    let (id, name) = value.split_once(' ').unwrap_or((value, ""));
                    if !name.is_empty() {
                        names.insert(id, name);
                    }
                    if key == "fn" {
                        current = names.get(id).copied();
                    }
                }
            } else if let Some(sum) = line.strip_prefix("totals:") {
                total = sum.trim().parse().ok();
            } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
                let cost = line.split_whitespace().nth(1);
                let cost: u64 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
                if let Some(name) = current {
                    *counts.inclusive.entry(name.to_owned()).or_default() += cost;
                }
            }
        }
        counts.total = total?;
        Some(counts)
    }
}

/// Instructions per operation from two runs: the cost of starting and exiting
/// is in both and cancels out.
pub(crate) fn slope(short: u64, long: u64, operations: u64) -> f64 {
    (long as f64 - short as f64) / operations as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inclusive_counts_are_own_lines_and_calls() {
        let text = "\
version: 1
positions: line
events: Ir

fl=(1) a.rs
fn=(1) box_new
10 4
+1 3
cfn=(2) alloc
calls=5 20
+1 50
* 2

fn=(2)
20 40
-2 10

fn=(1)
12 1
totals: 110
";
        let counts = Counts::parse(text).unwrap();
        assert_eq!(counts.total, 110);
        assert_eq!(counts.inclusive["box_new"], 60);
        assert_eq!(counts.inclusive["alloc"], 50);
        assert_eq!(Counts::parse("events: Ir\n"), None);
    }

    #[test]
    fn the_slope_leaves_the_start_out() {
        assert_eq!(slope(1_000_500, 1_002_500, 100), 20.0);
        assert_eq!(slope(500, 400, 100), -1.0);
    }
}

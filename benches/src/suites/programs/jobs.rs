//! What each row runs: programs of Debian with generated inputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use benches::installed::{find, install};
use benches::programs::Half;

use super::redis::{LOADS, Redis};
use super::{c_source, inputs};

/// A program that runs to its end.
pub(crate) struct Run {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// What makes it exit at once.
    pub(crate) version: &'static str,
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

/// A row that is ready to run.
pub(crate) enum Job {
    Run(Run),
    /// A server that is driven by a load.
    Redis(Redis),
}

/// A program of Debian.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) half: Half,
    /// Finds it, and writes its input to the directory.
    ready: fn(&Path, f64) -> Result<Run>,
}

const fn tool(
    name: &'static str,
    what: &'static str,
    half: Half,
    ready: fn(&Path, f64) -> Result<Run>,
) -> Tool {
    Tool { name, what, half, ready }
}

/// Every program but redis.
pub(crate) const TOOLS: [Tool; 6] = [
    tool("z3", "solves inequalities over the rationals", Half::Tuning, z3),
    tool("gs", "interprets pages of text and curves", Half::Tuning, gs),
    tool("lua", "creates tables of strings", Half::Tuning, lua),
    tool("sqlite3", "inserts, joins and changes orders in memory", Half::Reporting, sqlite3),
    tool("gcc", "compiles C, optimized", Half::Reporting, gcc),
    tool(
        "python3",
        "objects, dictionaries, JSON, syntax trees; by malloc",
        Half::Reporting,
        python3,
    ),
];

/// Gets the row of this name ready, if there is one.
pub(crate) fn job(name: &str, dir: &Path, scale: f64) -> Result<Option<Job>> {
    if let Some(load) = LOADS.iter().find(|load| load.name == name) {
        return Ok(Some(Job::Redis(Redis::find(load, 200_000.0 * scale)?)));
    }
    let tool = TOOLS.iter().find(|tool| tool.name == name);
    tool.map(|tool| Ok(Job::Run((tool.ready)(dir, scale)?))).transpose()
}

/// Writes an input.
fn put(dir: &Path, name: &str, text: &str) -> Result<String> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.display().to_string())
}

/// A count that is not zero.
fn some(count: f64, scale: f64) -> u32 {
    (count * scale).round().max(1.0) as u32
}

fn run(path: PathBuf, arguments: &[&str], version: &'static str) -> Run {
    let arguments = arguments.iter().map(ToString::to_string).collect();
    Run { path, arguments, version, variables: &[] }
}

fn z3(dir: &Path, scale: f64) -> Result<Run> {
    let input = put(dir, "problems.smt2", &inputs::problems(some(10.0, scale)))?;
    Ok(run(find("z3", "z3")?, &[&input], "--version"))
}

fn gs(dir: &Path, scale: f64) -> Result<Run> {
    let input = put(dir, "pages.ps", include_str!("scripts/pages.ps"))?;
    let pages = format!("-dPAGES={}", some(20.0, scale));
    let how = ["-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=bbox", &pages, &input];
    Ok(run(find("gs", "ghostscript")?, &how, "--version"))
}

fn lua(dir: &Path, scale: f64) -> Result<Run> {
    let input = put(dir, "tables.lua", include_str!("scripts/tables.lua"))?;
    let count = some(100_000.0, scale).to_string();
    Ok(run(find("lua5.4", "lua5.4")?, &[&input, &count], "-v"))
}

fn sqlite3(dir: &Path, scale: f64) -> Result<Run> {
    let text = include_str!("scripts/orders.sql");
    let text = text.replace("SIZE", &some(300_000.0, scale).to_string());
    let input = put(dir, "orders.sql", &text)?;
    let read = format!(".read {input}");
    Ok(run(find("sqlite3", "sqlite3")?, &["-batch", ":memory:", &read], "--version"))
}

/// The compiler proper: `gcc` only starts it.
fn gcc(dir: &Path, scale: f64) -> Result<Run> {
    let input = put(dir, "source.c", &c_source::source(some(600.0, scale)))?;
    let driver = find("gcc", "gcc")?;
    let output = Command::new(driver).arg("-print-prog-name=cc1").output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    ensure!(path.is_file(), "cc1 is not installed; {}", install("gcc"));
    Ok(run(path, &["-quiet", "-w", "-O2", &input, "-o", "-"], "--version"))
}

/// Its own allocator is for small blocks; here all come from `malloc`.
fn python3(dir: &Path, scale: f64) -> Result<Run> {
    let input = put(dir, "library.py", include_str!("scripts/library.py"))?;
    let count = some(24_000.0, scale).to_string();
    let run = run(find("python3", "python3")?, &[&input, &count], "--version");
    // Without a random key, dictionaries are the same in each run.
    Ok(Run { variables: &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")], ..run })
}

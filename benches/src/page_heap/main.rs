//! The page heap: large blocks, memory that is used again, and memory that is
//! given back. Each row on each allocator, preloaded, each in a separate
//! process, in interleaved rounds.
//!
//! `cargo run --release -p benches --bin page_heap` builds the library and the
//! program that runs a row, finds the peers from Debian packages, and prints
//! times, memory, and the ratio of Strata to the best peer with its interval.

mod report;

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benches::missing::sift;
use benches::pages::{self, ROWS, Row, Run};
use benches::preloaded::{self, Allocator, BACKGROUND};
use benches::process::Leashed;
use benches::progress::Progress;
use benches::{bindings, cargo, procfs};
use clap::Parser;

use report::{Report, RowReport, Sample, Series};

/// Time limit for one row on one allocator.
const LIMIT: Duration = Duration::from_secs(180);

/// Compare the page heaps of preloaded allocators.
#[derive(Debug, Parser)]
#[command(name = "page_heap")]
struct Arguments {
    /// Rows to run, in this order [default: all]
    #[arg(value_name = "ROW", value_parser = row)]
    rows: Vec<&'static Row>,

    /// Allocators to run [default: all, quick: without jemalloc-bg]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = preloaded::names())]
    allocators: Vec<String>,

    /// Runs of each row on each allocator [default: 5, quick: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,

    /// An eighth of the work, once: only checks that everything runs
    #[arg(long)]
    quick: bool,

    /// Describe the rows and exit
    #[arg(long)]
    list: bool,

    /// Also write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn row(name: &str) -> Result<&'static Row, String> {
    let names = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    pages::find(name).ok_or_else(|| format!("expected one of {}", names()))
}

/// The command that runs rows on an allocator, with no other environment
/// variables; the arguments are added by the caller.
fn command(runner: &Path, allocator: &Allocator) -> Command {
    let mut command = Command::new(runner);
    command.env_clear().env("LC_ALL", "C").envs(allocator.environment());
    command
}

/// Runs a row once.
fn sample(runner: &Path, allocator: &Allocator, row: &Row, run: &Run) -> Result<Sample> {
    let watch = run.watch.as_secs_f64();
    let mut command = command(runner, allocator);
    command.args([row.name, &run.scale.to_string(), &watch.to_string()]);
    let mut process = Leashed::start(&mut command, "it")?;
    let (status, lines) = process.run(LIMIT)?;
    ensure!(status.success(), "{status} {}", process.errors().join("; "));
    let line = lines.first().context("no output")?;
    let sample: Sample =
        serde_json::from_str(line).with_context(|| format!("unexpected output: {line}"))?;
    ensure!(sample.len() == row.figures.len(), "unexpected output: {line}");
    Ok(sample)
}

/// Runs all rounds. Each starts with another allocator. An allocator that fails
/// on a row is excluded from it.
fn measure(
    rows: &[&Row],
    allocators: &[Allocator],
    runner: &Path,
    run: &Run,
    rounds: usize,
    progress: &Progress,
) -> Vec<RowReport> {
    let series = |allocator: &Allocator| {
        let mut command = command(runner, allocator);
        let error = bindings::check(&mut command, &allocator.library).err();
        let error = error.map(|error| format!("{error:#}"));
        Series { allocator: allocator.name, samples: vec![None; rounds], error }
    };
    let mut table: Vec<Vec<Series>> =
        rows.iter().map(|_| allocators.iter().map(series).collect()).collect();
    progress.steps((rounds * rows.len() * allocators.len()) as u64);
    for round in 0..rounds {
        for (row, table) in rows.iter().zip(&mut table) {
            progress.now(&format!("round {} of {rounds}: {}", round + 1, row.name));
            for place in 0..allocators.len() {
                let n = (place + round) % allocators.len();
                let (series, allocator) = (&mut table[n], &allocators[n]);
                if series.error.is_none() {
                    match sample(runner, allocator, row, run) {
                        Ok(sample) => series.samples[round] = Some(sample),
                        Err(error) => {
                            let error = format!("round {}: {error:#}", round + 1);
                            progress.say(&format!("{} on {}: {error}", row.name, allocator.name));
                            series.error = Some(error);
                        }
                    }
                }
                progress.step();
            }
        }
    }
    progress.finish();
    rows.iter().zip(table).map(|(row, series)| RowReport::new(row, series)).collect()
}

/// Builds the program that runs the rows.
fn runner() -> Result<PathBuf> {
    let name = String::from("page_heap-run");
    let built = cargo::build(std::slice::from_ref(&name), &[], "release")?;
    let found = built.into_iter().find(|(bin, _)| *bin == name);
    Ok(found.with_context(|| format!("cargo built no {name}"))?.1)
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.list {
        print!("{}", table::legend());
        return Ok(ExitCode::SUCCESS);
    }
    let rows = match arguments.rows {
        rows if rows.is_empty() => ROWS.iter().collect(),
        rows => rows,
    };
    let quick = arguments.quick;
    let names = match arguments.allocators {
        names if names.is_empty() => {
            let wanted = |name: &&str| !quick || *name != BACKGROUND;
            preloaded::names().into_iter().filter(wanted).map(String::from).collect()
        }
        names => names,
    };
    let (rounds, scale, watch_s) = if quick { (1, 0.125, 1.0) } else { (5, 1.0, 3.0) };
    let rounds = arguments.rounds.unwrap_or(rounds) as usize;
    let run = Run { scale, watch: Duration::from_secs_f64(watch_s) };

    let (progress, runner, mut missing) = (Progress::new(), runner()?, Vec::new());
    let allocators: Vec<Allocator> = names
        .iter()
        .filter_map(|name| sift(Allocator::find(name), name, &mut missing, &progress))
        .collect();
    if allocators.is_empty() {
        bail!("nothing to run");
    }
    let rows = measure(&rows, &allocators, &runner, &run, rounds, &progress);
    let machine = procfs::machine();
    let report = Report { machine, scale, watch_s, rounds, allocators, missing, rows };
    println!("{}", table::render(&report));
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    // If a requested item has no figures, the exit status reports a failure.
    let bad = !report.missing.is_empty() || report.failures().next().is_some();
    Ok(ExitCode::from(u8::from(bad)))
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("page_heap: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_knows_the_rows_and_the_allocators() {
        let parse = |args: &[&str]| Arguments::try_parse_from(args);
        let good = parse(&["page_heap", "drift", "pairs", "--allocators", "glibc,strata"]).unwrap();
        assert_eq!(good.rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["drift", "pairs"]);
        assert!(parse(&["page_heap", "pear"]).is_err());
        assert!(parse(&["page_heap", "--allocators", "malloc"]).is_err());
        assert!(parse(&["page_heap", "--rounds", "0"]).is_err());
    }

    #[test]
    fn a_program_that_fails_is_an_error_and_leaves_the_others_running() {
        let glibc = [Allocator::find("glibc").unwrap()];
        let run = Run { scale: 1.0, watch: Duration::from_secs(1) };
        let error = |program: &str| {
            let rows = [&ROWS[0], &ROWS[1]];
            let mut reports = measure(&rows, &glibc, Path::new(program), &run, 2, &Progress::new());
            assert!(reports[0].series[0].error.is_some());
            reports.remove(1).series.remove(0).error.unwrap()
        };
        assert!(error("/bin/false").starts_with("round 1: exit status: 1"));
        assert!(error("/bin/true").contains("no output"));
        assert!(error("/bin/echo").contains("unexpected output: held8 1 1"));
        assert!(error("/nowhere").contains("cannot start"));
    }
}

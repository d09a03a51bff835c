//! Compares Strata as a C library with the system's allocator and others: each
//! row on each allocator, preloaded, each in a separate process, in interleaved
//! rounds.
//!
//! `cargo run --release -p benches --bin preload` builds the library, finds the
//! peers from Debian packages, runs the workloads and some real programs, and
//! prints times, memory, and the ratio of Strata to the best peer with its
//! interval.

mod measuring;

mod redis;

mod jobs;

mod report;

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use benches::missing::sift;
use benches::preloaded::{self, Allocator};
use benches::progress::Progress;
use benches::scratch::Scratch;
use benches::{bindings, cargo, procfs};
use clap::Parser;

use jobs::{Job, Row};
use report::{Means, Report, RowReport, Sample, Series};

/// Seeds the order of the allocators.
const ORDER: u64 = 800;
/// The rows of a quick run.
const QUICK: [&str; 8] =
    ["larson2", "xmalloc4", "mstress8", "rptest4", "alloc-test1", "glibc-simple", "lua", "redis"];

/// Compare allocators preloaded into workloads and real programs.
#[derive(Debug, Parser)]
#[command(name = "preload")]
struct Arguments {
    /// Rows to run, in this order [default: all, quick: some]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = row)]
    rows: Vec<Row>,

    /// Allocators to run [default: all]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = preloaded::names())]
    allocators: Vec<String>,

    /// Runs of each row on each allocator [default: 10, quick: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,

    /// Some rows, once, with little work: only checks that everything runs
    #[arg(long)]
    quick: bool,

    /// Factor on the amount of work [default: 1, quick: 0.05]
    #[arg(long, value_name = "X", value_parser = scale)]
    scale: Option<f64>,

    /// Also write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn row(name: &str) -> Result<Row, String> {
    let rows = jobs::rows();
    let names = || rows.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    rows.iter()
        .find(|row| row.name == name)
        .copied()
        .ok_or_else(|| format!("expected one of {}", names()))
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale: &f64| scale.is_finite() && *scale > 0.0);
    scale.ok_or_else(|| String::from("expected a positive number"))
}

/// Runs all rounds. In each, every row visits the allocators in a random order.
/// An allocator that fails on a row is excluded from it.
fn measure(
    rows: &[(Row, Job)],
    allocators: &[Allocator],
    runner: &Path,
    rounds: usize,
    limit: Duration,
    progress: &Progress,
) -> Vec<RowReport> {
    let series = |job: &Job, allocator: &Allocator| {
        let bound = bindings::check(&mut job.probe(allocator), &allocator.library);
        let error = bound.err().map(|error| format!("{error:#}"));
        Series { allocator: allocator.name, samples: vec![None; rounds], error }
    };
    let mut table: Vec<Vec<Series>> = rows
        .iter()
        .map(|(_, job)| allocators.iter().map(|allocator| series(job, allocator)).collect())
        .collect();
    let mut rng = fastrand::Rng::with_seed(ORDER);
    let mut order: Vec<usize> = (0..allocators.len()).collect();
    progress.steps((rounds * rows.len() * allocators.len()) as u64);
    for round in 0..rounds {
        progress.now(&format!("round {} of {rounds}", round + 1));
        for ((row, job), table) in rows.iter().zip(&mut table) {
            rng.shuffle(&mut order);
            for n in &order {
                let (series, allocator) = (&mut table[*n], &allocators[*n]);
                if series.error.is_none() {
                    match job.sample(runner, allocator, limit) {
                        Ok(measured) => {
                            let seconds = job.seconds(&measured);
                            series.samples[round] = Some(Sample { seconds, measured });
                        }
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
    let rows = rows.iter().zip(table);
    rows.map(|((row, _), series)| RowReport::new(*row, series)).collect()
}

/// Builds the program that runs and measures the rows.
fn runner() -> Result<PathBuf> {
    let name = String::from("preload-run");
    let built = cargo::build(std::slice::from_ref(&name), &[], "release")?;
    let found = built.into_iter().find(|(bin, _)| *bin == name);
    Ok(found.with_context(|| format!("cargo built no {name}"))?.1)
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let rows = match arguments.rows {
        rows if !rows.is_empty() => rows,
        _ => {
            let wanted = |row: &Row| !arguments.quick || QUICK.contains(&row.name);
            jobs::rows().into_iter().filter(wanted).collect()
        }
    };
    let names = match arguments.allocators {
        names if names.is_empty() => preloaded::names().into_iter().map(String::from).collect(),
        names => names,
    };
    let (rounds, scale) = if arguments.quick { (1, 0.05) } else { (10, 1.0) };
    let rounds = arguments.rounds.unwrap_or(rounds) as usize;
    let scale = arguments.scale.unwrap_or(scale);
    let limit = Duration::from_secs_f64(180.0 * scale.max(1.0));

    let progress = Progress::new();
    let (runner, scratch) = (runner()?, Scratch::new("preload")?);
    let mut missing = Vec::new();
    let allocators: Vec<Allocator> = names
        .iter()
        .filter_map(|name| sift(Allocator::find(name), name, &mut missing, &progress))
        .collect();
    let jobs: Vec<(Row, Job)> = rows
        .into_iter()
        .filter_map(|row| {
            let job = Job::prepare(row, &runner, scratch.path(), scale);
            Some((row, sift(job, row.name, &mut missing, &progress)?))
        })
        .collect();
    if allocators.is_empty() || jobs.is_empty() {
        bail!("nothing to run");
    }
    let rows = measure(&jobs, &allocators, &runner, rounds, limit, &progress);
    let (machine, means) = (procfs::machine(), Means::of(&rows));
    let report = Report { machine, scale, rounds, allocators, missing, rows, means };
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
            eprintln!("preload: {error:#}");
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
        let good = parse(&["preload", "--rows", "lua,larson2", "--allocators", "glibc"]).unwrap();
        assert_eq!(good.rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["lua", "larson2"]);
        assert!(parse(&["preload", "--rows", "pear"]).is_err());
        assert!(parse(&["preload", "--allocators", "malloc"]).is_err());
        assert!(parse(&["preload", "--rounds", "0"]).is_err());
        assert!(parse(&["preload", "--scale", "-1"]).is_err());
    }

    #[test]
    fn the_rows_of_a_quick_run_exist() {
        assert!(QUICK.iter().all(|name| row(name).is_ok()));
    }

    #[test]
    fn a_runner_that_fails_leaves_the_row_to_the_others() {
        let program = |path: &str| Job::Program {
            path: PathBuf::from(path),
            arguments: Vec::new(),
            probe: "--help",
        };
        let rows =
            [(jobs::rows()[0], program("/bin/true")), (jobs::rows()[1], program("/nowhere"))];
        let glibc = [Allocator::find("glibc").unwrap()];
        let limit = Duration::from_secs(5);
        let reports = measure(&rows, &glibc, Path::new("/bin/false"), 2, limit, &Progress::new());
        assert!(reports[0].series[0].error.as_ref().unwrap().starts_with("round 1"));
        assert!(reports[1].series[0].error.as_ref().unwrap().contains("cannot start"));
        assert!(reports.iter().all(|row| row.ratio.is_none()));
    }
}

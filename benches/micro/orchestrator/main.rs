//! The micro benchmarks: each row on each allocator, each in a separate
//! process, in interleaved rounds.
//!
//! `cargo run --release -p benches --bin micro` builds one measuring program
//! per allocator, runs them, and prints medians, memory, and the ratio of
//! Strata to the best peer with its interval.

mod programs;
#[path = "../workloads/rows.rs"]
mod rows;

mod report;

mod table;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use benches::cargo::{self, ALLOCATORS};
use benches::procfs;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use report::{OURS, Report, RowReport, Series, Unbuilt};
use rows::{ROWS, Row};

/// Compare allocators on small workloads, each run in a separate process.
#[derive(Debug, Parser)]
#[command(name = "micro")]
struct Arguments {
    /// Rows to run, in this order [default: all]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = row)]
    rows: Vec<&'static Row>,

    /// Allocators to run [default: all]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = ALLOCATORS)]
    allocators: Vec<String>,

    /// Runs of each row on each allocator [default: 10, quick: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,

    /// A quarter of the size and fewer rounds
    #[arg(long)]
    quick: bool,

    /// Factor on the number of operations [default: 1, quick: 0.25]
    #[arg(long, value_name = "X")]
    scale: Option<f64>,

    /// Cargo profile for the measuring programs
    #[arg(long, default_value = "release")]
    profile: String,

    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn row(name: &str) -> Result<&'static Row, String> {
    let known = || {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        format!("expected one of {}", names.join(", "))
    };
    rows::find(name).ok_or_else(known)
}

/// The bar on a terminal; nothing elsewhere.
fn progress(steps: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps as u64);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed}, about {eta} left)") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Runs all rounds. In each round every row visits the allocators, starting one
/// further on each time. An allocator that fails on a row is excluded from it.
fn measure(
    rows: &[&'static Row],
    programs: &[(String, PathBuf)],
    rounds: usize,
    scale: f64,
) -> Vec<RowReport> {
    let limit = Duration::from_secs_f64(300.0 * scale.max(1.0));
    let series = |(name, _): &(String, PathBuf)| Series {
        allocator: name.clone(),
        samples: vec![None; rounds],
        error: None,
    };
    let mut table: Vec<Vec<Series>> =
        rows.iter().map(|_| programs.iter().map(series).collect()).collect();
    let bar = progress(rounds * rows.len() * programs.len());
    for round in 0..rounds {
        for (r, row) in rows.iter().enumerate() {
            for turn in 0..programs.len() {
                let a = (turn + round + r) % programs.len();
                let series = &mut table[r][a];
                bar.set_message(format!("{} on {}", row.name, series.allocator));
                if series.error.is_none() {
                    match programs::sample(&programs[a].1, row.name, scale, limit) {
                        Ok(sample) => series.samples[round] = Some(sample),
                        Err(error) => {
                            let line = format!("{} on {}: {error:#}", row.name, series.allocator);
                            bar.suspend(|| eprintln!("{line}"));
                            series.error = Some(format!("round {}: {error:#}", round + 1));
                        }
                    }
                }
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    let reports = rows.iter().zip(table);
    reports.map(|(row, s)| RowReport::new(row, s)).collect()
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let rows = match arguments.rows {
        rows if rows.is_empty() => ROWS.iter().collect(),
        rows => rows,
    };
    let allocators = match arguments.allocators {
        names if names.is_empty() => ALLOCATORS.map(String::from).to_vec(),
        names => names,
    };
    let (rounds, scale) = if arguments.quick { (4, 0.25) } else { (10, 1.0) };
    let rounds = arguments.rounds.unwrap_or(rounds) as usize;
    let scale = arguments.scale.unwrap_or(scale);

    let names: Vec<&str> = allocators.iter().map(String::as_str).collect();
    let built = cargo::each("micro", &names, &arguments.profile);
    let (mut programs, mut unbuilt) = (Vec::new(), Vec::new());
    for (allocator, program) in allocators.into_iter().zip(built) {
        match program {
            Ok(program) => programs.push((allocator, program)),
            Err(error) => unbuilt.push(Unbuilt { allocator, error: format!("{error:#}") }),
        }
    }
    for Unbuilt { allocator, error } in &unbuilt {
        eprintln!("{allocator} did not build: {error}");
    }
    if programs.is_empty() {
        bail!("nothing to run");
    }
    let rows = measure(&rows, &programs, rounds, scale);
    let report = Report {
        machine: procfs::machine(),
        profile: arguments.profile,
        scale,
        rounds,
        unbuilt,
        sets: report::sets(&rows),
        rows,
    };
    println!("{}", table::render(&report));
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let failed = |series: &Series| series.allocator == OURS && series.error.is_some();
    let ours_failed = report.rows.iter().flat_map(|r| &r.series).any(failed)
        || report.unbuilt.iter().any(|unbuilt| unbuilt.allocator == OURS);
    Ok(ExitCode::from(u8::from(ours_failed)))
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("micro: {error:#}");
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
        let good = parse(&["micro", "--rows", "pair,huge", "--allocators", "glibc"]).unwrap();
        assert_eq!(good.rows.len(), 2);
        assert_eq!(good.rows[1].name, "huge");
        assert!(parse(&["micro", "--rows", "pear"]).is_err());
        assert!(parse(&["micro", "--allocators", "malloc"]).is_err());
        assert!(parse(&["micro", "--rounds", "0"]).is_err());
    }

    #[test]
    fn a_program_that_fails_leaves_the_others_running() {
        let programs = [
            (String::from("broken"), PathBuf::from("/bin/false")),
            (String::from("missing"), PathBuf::from("/nowhere/micro-x")),
        ];
        let rows: Vec<&Row> = ROWS.iter().take(2).collect();
        let reports = measure(&rows, &programs, 2, 1.0);
        assert_eq!(reports.len(), 2);
        let series = &reports[1].series;
        assert!(series[0].error.as_ref().unwrap().contains("round 1"));
        assert!(series[1].error.as_ref().unwrap().contains("cannot start"));
        assert!(reports.iter().all(|row| row.ratio.is_none()));
    }
}

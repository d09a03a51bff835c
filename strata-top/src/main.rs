//! `strata-top` shows the memory of a running process that uses the Strata allocator. It reads
//! the memory of the process, where a note in the program or library leads to a directory of the
//! allocator's counters. Nothing runs in the process for that: one that is stopped or stuck can be
//! read as well.

mod problem;
mod process;
mod memory;
mod copies;
mod numbers;
mod profile;
mod names;
mod sample;
mod rows;
mod tables;
mod history;
mod draw;
mod live;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, value_parser};

use problem::Problem;
use sample::{Sample, Source};

/// Shows the memory of a process that uses the Strata allocator, while it runs, is stopped, or
/// is stuck.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The process; without it, a list of all that are on Strata.
    #[arg(value_parser = value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// Seconds between two looks.
    #[arg(short, long, default_value = "1", value_parser = delay)]
    delay: Duration,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints all numbers of a process once.
    Explain {
        /// The process.
        #[arg(value_parser = value_parser!(i32).range(1..))]
        pid: i32,
        /// Prints one JSON object, which `diff` takes.
        #[arg(long)]
        json: bool,
    },
    /// Prints which functions allocated what is in use, if the process has its heap profile on:
    /// the 20 stacks with most bytes, or as one of the options has it.
    Profile {
        /// The process.
        #[arg(value_parser = value_parser!(i32).range(1..))]
        pid: i32,
        /// Prints all stacks as lines, for scripts that draw flame graphs.
        #[arg(long)]
        folded: bool,
        /// Writes a file for `go tool pprof`.
        #[arg(long, value_name = "FILE")]
        pprof: Option<PathBuf>,
        /// Writes a page with a flame graph, for a browser.
        #[arg(long, value_name = "FILE")]
        page: Option<PathBuf>,
    },
    /// Prints what changed between two files that `explain PID --json` wrote.
    Diff {
        /// The earlier one.
        before: PathBuf,
        /// The later one.
        after: PathBuf,
    },
}

fn delay(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("from 0.1 to 3600".to_owned())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        None => live::run(arguments.pid, arguments.delay),
        Some(Command::Explain { pid, json }) => explain(pid, json),
        Some(Command::Profile { pid, folded, pprof, page }) => {
            profile(pid, folded, pprof.as_deref(), page.as_deref())
        }
        Some(Command::Diff { before, after }) => diff(&before, &after),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("strata-top: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn explain(pid: i32, json: bool) -> Result<(), Problem> {
    let sample = Source::open(pid)?.read()?;
    if !json {
        return print(&tables::explain(&sample));
    }
    let text = serde_json::to_string(&sample).expect("all of it are names and numbers");
    print(&format!("{text}\n"))
}

fn profile(
    pid: i32,
    folded: bool,
    pprof: Option<&Path>,
    page: Option<&Path>,
) -> Result<(), Problem> {
    let (snapshot, dropped) = Source::open(pid)?.profile()?;
    if dropped != 0 {
        eprintln!("strata-top: {dropped} samples are missing: there was no room for them");
    }
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).map_err(|error| Problem::File { path: path.to_owned(), error })
    };
    if let Some(path) = pprof {
        write(path, &snapshot.pprof())?;
    }
    if let Some(path) = page {
        write(path, snapshot.flame_graph().as_bytes())?;
    }
    match (folded, pprof.or(page)) {
        (true, _) => print(&snapshot.folded()),
        (false, None) => print(&snapshot.report()),
        (false, Some(_)) => Ok(()),
    }
}

fn diff(before: &Path, after: &Path) -> Result<(), Problem> {
    print(&tables::diff(&Sample::load(before)?, &Sample::load(after)?))
}

/// Whoever reads what is printed may leave early.
fn print(text: &str) -> Result<(), Problem> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::System { what: "standard output".to_owned(), error })
        }
        _ => Ok(()),
    }
}

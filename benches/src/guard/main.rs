//! A guard that noise cannot trip: instructions, page faults, system calls and
//! peak memory of programs with one thread that do the same work each time,
//! with the C library preloaded. They are compared with those in `guard.json`.
//!
//! `cargo run --release -p benches --bin guard` fails if a figure has changed by
//! more than its tolerance, in either direction; `-- --write` accepts what is
//! there now. A change that moves a figure says so in its commit.

mod figures;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use benches::preloaded::{Allocator, OURS};
use benches::progress::Progress;
use benches::scratch::Scratch;
use benches::tables::{right, table};
use benches::{cargo, installed};
use clap::Parser;
use comfy_table::Cell;

use figures::{FIGURES, Figures, Meter};

/// Compare deterministic figures with those in the repository.
#[derive(Debug, Parser)]
#[command(name = "guard")]
struct Arguments {
    /// Rows to measure [default: all]
    #[arg(value_name = "ROW", value_parser = row)]
    rows: Vec<&'static Row>,

    /// Write the figures down instead of comparing them
    #[arg(long)]
    write: bool,
}

/// A program, and how much of its work.
#[derive(Debug)]
struct Row {
    name: &'static str,
    program: Program,
    scale: f64,
    /// Whether its system calls do not depend on how fast it runs.
    counts_calls: bool,
}

#[derive(Clone, Copy, Debug)]
enum Program {
    /// A workload of `preload`.
    Workload,
    /// A row of `page_heap`.
    Pages,
}

const fn workload(name: &'static str, scale: f64) -> Row {
    Row { name, program: Program::Workload, scale, counts_calls: true }
}

const fn pages(name: &'static str, scale: f64) -> Row {
    Row { name, program: Program::Pages, scale, counts_calls: true }
}

/// Every row. What depends on time, such as a purge of memory that was free for a while, is a
/// small part of each: a program that frees more than may stay is none of them.
const ROWS: &[Row] = &[
    workload("shbench1", 0.05),
    workload("alloc-test1", 0.05),
    workload("glibc-simple", 0.02),
    pages("pairs", 0.1),
    pages("double4m", 0.2),
    pages("double256m", 1.0),
    pages("step256m", 1.0),
    pages("zeroed", 0.02),
    pages("phases", 0.125),
    // Under strace, purges have more time.
    Row { counts_calls: false, ..pages("drift", 0.01) },
];

fn row(name: &str) -> Result<&'static Row, String> {
    let names = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
    let found = ROWS.iter().find(|row| row.name == name);
    found.ok_or_else(|| format!("expected one of {}", names()))
}

/// Where the figures are written down.
fn baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.json")
}

type Baseline = BTreeMap<String, Figures>;

fn read() -> Result<Baseline> {
    let path = baseline();
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let rows = match arguments.rows {
        rows if rows.is_empty() => ROWS.iter().collect(),
        rows => rows,
    };
    let names = ["preload-run", "page_heap-run"].map(String::from);
    let built: BTreeMap<_, _> = cargo::build(&names, &[], "release")?.into_iter().collect();
    let [workloads, pages] =
        names.map(|name| built.get(&name).cloned().with_context(|| format!("no {name}")));
    let (workloads, pages) = (workloads?, pages?);
    let meter = Meter {
        library: Allocator::find(OURS)?.library,
        forker: workloads.clone(),
        strace: installed::find("strace", "strace")?,
        valgrind: installed::find("valgrind", "valgrind")?,
        scratch: Scratch::new("guard")?,
    };
    let progress = Progress::new();
    progress.steps(rows.len() as u64);
    let mut measured = Baseline::new();
    for row in &rows {
        progress.now(row.name);
        let scale = row.scale.to_string();
        let (program, arguments) = match row.program {
            Program::Workload => (&workloads, ["work", row.name, &scale]),
            Program::Pages => (&pages, [row.name, &scale, "1"]),
        };
        let mut figures = meter.measure(program, &arguments).with_context(|| row.name)?;
        if !row.counts_calls {
            figures.calls = 0;
        }
        measured.insert(row.name.to_owned(), figures);
        progress.step();
    }
    progress.finish();
    if arguments.write {
        ensure!(rows.len() == ROWS.len(), "only all rows can be written");
        fs::write(baseline(), serde_json::to_string_pretty(&measured)? + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let (text, moved) = compare(&measured, &read()?);
    println!("{text}");
    if moved != 0 {
        println!("{moved} figures have moved; if they should, `-- --write` accepts them");
    }
    Ok(ExitCode::from(u8::from(moved != 0)))
}

/// A table of what was measured and what is written down, and how many figures have moved.
fn compare(measured: &Baseline, written: &Baseline) -> (String, usize) {
    let headings = ["row", "figure", "now", "written down", "ratio", ""];
    let (mut table, mut moved) = (table(headings.map(String::from)), 0);
    for (name, now) in measured {
        let then = written.get(name);
        for figure in FIGURES {
            let (now, then) = ((figure.get)(now), then.map_or(0, figure.get));
            let has_moved = figure.has_moved(now, then);
            moved += usize::from(has_moved);
            table.add_row([
                Cell::new(name),
                Cell::new(figure.name),
                right(now.to_string()),
                right(then.to_string()),
                right(format!("{:.3}", now as f64 / then as f64)),
                Cell::new(if has_moved { "MOVED" } else { "" }),
            ]);
        }
    }
    (table.to_string(), moved)
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("guard: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_a_program_and_is_written_down() {
        let written = read().unwrap();
        assert_eq!(written.len(), ROWS.len());
        for row in ROWS {
            assert!(written.contains_key(row.name), "{}", row.name);
            match row.program {
                Program::Workload => assert!(benches::workloads::find(row.name).is_some()),
                Program::Pages => assert!(benches::pages::find(row.name).is_some()),
            }
        }
    }

    #[test]
    fn what_has_moved_is_found() {
        let written = read().unwrap();
        assert_eq!(compare(&written, &written).1, 0);
        let mut measured = written.clone();
        let row = measured.get_mut("drift").unwrap();
        row.instructions += row.instructions / 10;
        row.peak_kib /= 2;
        let (text, moved) = compare(&measured, &written);
        assert_eq!((moved, text.matches("MOVED").count()), (2, 2));
        measured
            .insert("new".to_owned(), Figures { instructions: 1_000_000, ..Figures::default() });
        assert_eq!(compare(&measured, &written).1, 3);
    }
}

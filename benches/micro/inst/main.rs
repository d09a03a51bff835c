//! Instruction counts of allocation and deallocation, in three common build
//! profiles of Rust programs.
//!
//! `cargo run --release -p benches --bin instructions` builds `inst` in each
//! profile, reads its disassembly, runs its loops under callgrind, and prints
//! both counts. It needs objdump and valgrind.

mod callgrind;
mod disasm;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use benches::cargo;
use clap::Parser;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;

use disasm::{Program, StraightPath};

/// The functions, and the loop that calls each.
const FUNCTIONS: [(&str, &str); 4] = [
    ("box_new", "pair"),
    ("box_drop", "pair"),
    ("vec_with_capacity", "vector"),
    ("vec_drop", "vector"),
];

/// The loops: name, pairs of calls per round, rounds of the shorter run. The
/// longer run has twice as many.
const LOOPS: [(&str, u64, u64); 5] = [
    ("pair", 1, 100_000),
    ("vector", 1, 100_000),
    ("lifo1000", 1000, 100),
    ("fifo1000", 1000, 100),
    ("burst20000", 20_000, 10),
];

/// Count the instructions of allocation and deallocation.
#[derive(Debug, Parser)]
#[command(name = "instructions")]
struct Arguments {
    /// Cargo profiles to count in: release has fat LTO, plain has none
    #[arg(
        long,
        value_name = "A,B,...",
        value_delimiter = ',',
        default_value = "release,thin,plain"
    )]
    profiles: Vec<String>,

    /// Also write the counts as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Function {
    name: &'static str,
    /// From the disassembly; none if the function is not in it.
    straight: Option<StraightPath>,
    /// Executed per call, callees included.
    executed: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Loop {
    name: &'static str,
    /// Executed per allocation and deallocation, including the loop and both
    /// calls.
    per_pair: f64,
}

#[derive(Debug, Serialize)]
struct Profile {
    profile: String,
    functions: Vec<Function>,
    loops: Vec<Loop>,
}

/// Fails unless both tools are installed.
fn require_tools() -> Result<()> {
    let missing: Vec<&str> = ["objdump", "valgrind"]
        .into_iter()
        .filter(|tool| {
            let mut command = Command::new(tool);
            command.arg("--version").stdout(Stdio::null());
            command.stderr(Stdio::null()).status().is_err()
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("{} not found: objdump (package binutils) and valgrind are needed", missing.join(" and "))
}

fn count(profile: &str) -> Result<Profile> {
    let bin = String::from("inst");
    let built = cargo::build(std::slice::from_ref(&bin), &[], profile)?;
    let found = built.into_iter().find(|(name, _)| *name == bin);
    let (_, path) = found.context("cargo built no inst")?;
    let program = Program::load(&path)?;

    let mut loops = Vec::new();
    let mut executed = Vec::new();
    for (name, pairs, rounds) in LOOPS {
        eprintln!("{profile}: {name}");
        let short = callgrind::run(&path, name, rounds)?;
        let long = callgrind::run(&path, name, 2 * rounds)?;
        let operations = pairs * rounds;
        loops.push(Loop { name, per_pair: callgrind::slope(short.total, long.total, operations) });
        for (function, _) in FUNCTIONS.iter().filter(|(_, its)| *its == name) {
            let of = |counts: &callgrind::Counts| counts.inclusive.get(*function).copied();
            if let (Some(short), Some(long)) = (of(&short), of(&long)) {
                executed.push((*function, callgrind::slope(short, long, operations)));
            }
        }
    }
    let functions = FUNCTIONS.iter().map(|(name, _)| Function {
        name,
        straight: program.straight_path(name),
        executed: executed.iter().find(|(n, _)| n == name).map(|(_, v)| *v),
    });
    Ok(Profile { profile: profile.to_owned(), functions: functions.collect(), loops })
}

fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(headings);
    table
}

fn print(profiles: &[Profile]) {
    println!(
        "\nstraight: instructions from the entry to a return, no conditional branch taken unless\n\
         falling through leads to no return; alone, and with what is called\n\
         executed: per call in the loop below, callees included, measured"
    );
    let mut functions = table([
        "function",
        "profile",
        "straight",
        "with callees",
        "executed",
        "calls, [not followed]",
    ]);
    for (n, (name, _)) in FUNCTIONS.iter().enumerate() {
        for profile in profiles {
            let function = &profile.functions[n];
            let number = |value: Option<String>| value.unwrap_or_else(|| String::from("–"));
            let straight = function.straight.as_ref();
            functions.add_row([
                (*name).to_owned(),
                profile.profile.clone(),
                number(straight.map(|path| path.own.to_string())),
                number(straight.map(|path| path.with_callees.to_string())),
                number(function.executed.map(|executed| format!("{executed:.2}"))),
                straight.map_or_else(String::new, |path| path.targets.join("\n")),
            ]);
        }
    }
    println!("{functions}");
    println!("\nexecuted per allocation and deallocation, including the loop and both calls");
    let mut loops = table(["loop", "profile", "instructions"]);
    for (n, (name, _, _)) in LOOPS.iter().enumerate() {
        for profile in profiles {
            let per_pair = profile.loops[n].per_pair;
            loops.add_row([*name, &profile.profile, &format!("{per_pair:.2}")]);
        }
    }
    println!("{loops}");
}

fn run(arguments: &Arguments) -> Result<()> {
    require_tools()?;
    let profiles: Vec<Profile> =
        arguments.profiles.iter().map(|profile| count(profile)).collect::<Result<_>>()?;
    print(&profiles);
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&profiles)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Runs one of the programs with the allocator of the process:
//! `program-run NAME SCALE` prints its checksum, `program-run --list` the names.

use std::process::ExitCode;

use anyhow::{Context, Result};
use benches::programs::{self, PROGRAMS};

fn work(name: &str, scale: &str) -> Result<()> {
    let program = programs::find(name).with_context(|| format!("no program {name}"))?;
    let sum = program.run(scale.parse().context("the scale is not a number")?);
    println!("{sum:016x}");
    Ok(())
}

fn list() {
    for program in PROGRAMS {
        println!("{:9} {:9} {}", program.name, format!("{:?}", program.half), program.what);
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [flag] if flag == "--list" => {
            list();
            Ok(())
        }
        [name, scale] => work(name, scale),
        _ => {
            eprintln!("usage: program-run NAME SCALE | --list");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

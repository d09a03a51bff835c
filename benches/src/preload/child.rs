//! The program that runs with a preloaded allocator, and the one that measures
//! it:
//!
//! - `preload-run work NAME SCALE` runs a workload and prints its checksum;
//! - `preload-run measure PROGRAM ARGUMENTS...` runs a program and prints its
//!   cost as a line of JSON. `LD_PRELOAD` and other variables are given as
//!   `NAME=VALUE` before the program, as with `env`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use benches::{measured, workloads};

fn work(name: &str, scale: &str) -> Result<()> {
    let workload = workloads::find(name).with_context(|| format!("no workload {name}"))?;
    let sum = workload.run(scale.parse().context("the scale is not a number")?);
    println!("{sum:016x}");
    Ok(())
}

fn measure(arguments: &[String]) -> Result<()> {
    let variables = arguments.iter().map_while(|word| word.split_once('='));
    let variables: Vec<(&str, &str)> = variables.collect();
    let Some((program, arguments)) = arguments[variables.len()..].split_first() else {
        bail!("no program");
    };
    let mut command = Command::new(program);
    let measured = measured::run(command.envs(variables).args(arguments))?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [what, name, scale] if what == "work" => work(name, scale),
        [what, rest @ ..] if what == "measure" => measure(rest),
        _ => {
            eprintln!("usage: preload-run work NAME SCALE | measure [NAME=VALUE]... PROGRAM ...");
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

//! What the programs that run on an allocator can do: `subject micro ROW SCALE`
//! and so on, the prober, and the server. The harness starts them; nobody else has
//! to.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::micro::scaling;
use crate::server::{self, CountsFn};
use crate::{measured, micro, pages, probes, procfs, workloads};

/// The allocator of a program.
#[derive(Clone, Copy, Debug)]
pub struct Allocator {
    /// Its name.
    pub name: &'static str,
    /// Its version, as known to the running program.
    pub version: fn() -> String,
    /// Reads what it counts, if it does.
    pub counts: Option<CountsFn>,
}

/// Runs a loop whose instructions are counted, if there is one of this name.
pub type Loops = fn(&str, usize) -> Option<()>;

const USAGE: &str = "usage: subject version | micro ROW SCALE | pages ROW SCALE WATCH_SECONDS
    | work NAME SCALE | inst LOOP ROUNDS | scale ROW THREADS SCALE | machine SCALE
    | measure [--cpus A,B,...] [NAME=VALUE]... PROGRAM [ARGUMENT]...";

/// The `main` function of the subject.
pub fn main(allocator: &Allocator, loops: Loops) -> ExitCode {
    end(|arguments| run(allocator, loops, arguments))
}

/// The `main` function of the server.
pub fn serve(allocator: &Allocator) -> ExitCode {
    end(|arguments| match arguments {
        ["version"] => version(allocator),
        _ => server::run(allocator.name, &(allocator.version)(), allocator.counts, arguments),
    })
}

/// The `main` function of the prober.
pub fn probe(allocator: &Allocator) -> ExitCode {
    end(|arguments| run_probe(allocator, arguments))
}

fn run_probe(allocator: &Allocator, arguments: &[&str]) -> Result<()> {
    match arguments {
        ["version"] => version(allocator)?,
        [name, scale, idle] => {
            let probe = probes::find(name).with_context(|| format!("no probe {name}"))?;
            probe.run(positive(scale)?, Duration::from_secs_f64(positive(idle)?));
        }
        _ => bail!("usage: prober version | PROBE SCALE IDLE_SECONDS"),
    }
    Ok(())
}

/// The `main` function of the programs of others.
#[cfg(feature = "programs")]
pub fn program(allocator: &Allocator) -> ExitCode {
    end(|arguments| run_program(allocator, arguments))
}

#[cfg(feature = "programs")]
fn run_program(allocator: &Allocator, arguments: &[&str]) -> Result<()> {
    match arguments {
        ["version"] => version(allocator)?,
        [name, scale] => {
            let sum = crate::programs::run(name, positive(scale)?);
            println!("{:016x}", sum.with_context(|| format!("no program {name}"))?);
        }
        _ => bail!("usage: program-run version | NAME SCALE"),
    }
    Ok(())
}

/// Runs a function on the arguments of the process.
fn end(run: impl FnOnce(&[&str]) -> Result<()>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn version(allocator: &Allocator) -> Result<()> {
    println!("{} {}", allocator.name, (allocator.version)());
    Ok(())
}

fn run(allocator: &Allocator, loops: Loops, arguments: &[&str]) -> Result<()> {
    match arguments {
        ["version"] => version(allocator)?,
        ["micro", row, scale] => {
            let row = micro::find(row).with_context(|| format!("no row {row}"))?;
            let outcome = row.run(positive(scale)?);
            let rss_mib = outcome.rss_kib as f64 / 1024.0;
            print(&[Some(outcome.best_ns), Some(outcome.first_ns), Some(rss_mib)])?;
        }
        ["pages", row, scale, watch] => {
            let row = pages::find(row).with_context(|| format!("no row {row}"))?;
            let watch = Duration::from_secs_f64(positive(watch)?);
            print(&row.run(&pages::Run { scale: positive(scale)?, watch }))?;
        }
        ["work", name, scale] => {
            let work = workloads::find(name).with_context(|| format!("no workload {name}"))?;
            println!("{:016x}", work.run(positive(scale)?));
        }
        ["inst", name, rounds] => {
            let rounds = rounds.parse().context("the rounds are not a number")?;
            loops(name, rounds).with_context(|| format!("no loop {name}"))?;
        }
        ["scale", row, threads, scale] => {
            let row = scaling::find(row).with_context(|| format!("no row {row}"))?;
            let threads: usize = threads.parse().context("the threads are not a number")?;
            ensure!(threads > 0, "no thread");
            let outcome = row.run(threads, positive(scale)?);
            print(&[Some(outcome.best_ns), Some(outcome.rss_kib as f64 * 1024.0)])?;
        }
        ["machine", scale] => {
            let machine = scaling::machine(positive(scale)?);
            print(&[Some(machine.own_ns), Some(machine.transfer_ns), Some(machine.slowdown)])?;
        }
        ["measure", rest @ ..] => measure(rest)?,
        _ => bail!(USAGE),
    }
    Ok(())
}

/// The figures of a row as a line of JSON; none for what did not happen.
fn print(values: &[Option<f64>]) -> Result<()> {
    println!("{}", serde_json::to_string(values)?);
    Ok(())
}

fn positive(text: &str) -> Result<f64> {
    let number: f64 = text.parse().with_context(|| format!("{text} is not a number"))?;
    ensure!(number.is_finite() && number > 0.0, "{text} is not positive");
    Ok(number)
}

/// Runs a program and prints its cost as a line of JSON. `LD_PRELOAD` and other
/// variables come before the program, as with `env`.
fn measure(arguments: &[&str]) -> Result<()> {
    let (cpus, arguments) = match arguments {
        ["--cpus", list, rest @ ..] => (procfs::processors(list)?, rest),
        rest => (Vec::new(), rest),
    };
    let variables = arguments.iter().map_while(|word| word.split_once('='));
    let variables: Vec<(&str, &str)> = variables.collect();
    let Some((program, arguments)) = arguments[variables.len()..].split_first() else {
        bail!("no program");
    };
    let mut command = Command::new(program);
    let measured = measured::run(command.envs(variables).args(arguments), &cpus)?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(arguments: &[&str]) -> Result<()> {
        let loops: Loops = |name, _| (name == "pair").then_some(());
        run(&Allocator { name: "x", version: String::new, counts: None }, loops, arguments)
    }

    #[test]
    fn rows_are_run_by_their_names() {
        for good in [
            &["micro", "pair", "0.0001"][..],
            &["pages", "pairs", "0.001", "0.01"],
            &["work", "glibc-simple", "0.0001"],
            &["inst", "pair", "1"],
            &["scale", "small", "2", "0.0001"],
            &["machine", "0.001"],
            &["version"],
            &["measure", "A=b", "/bin/true"],
        ] {
            subject(good).unwrap_or_else(|error| panic!("{good:?}: {error:#}"));
        }
    }

    #[test]
    fn what_is_unknown_is_named() {
        let error = |arguments: &[&str]| subject(arguments).unwrap_err().to_string();
        assert_eq!(error(&["micro", "pear", "1"]), "no row pear");
        assert_eq!(error(&["pages", "pear", "1", "1"]), "no row pear");
        assert_eq!(error(&["work", "pear", "1"]), "no workload pear");
        let allocator = Allocator { name: "x", version: String::new, counts: None };
        let probe = |arguments: &[&str]| run_probe(&allocator, arguments);
        assert_eq!(probe(&["pear", "1", "1"]).unwrap_err().to_string(), "no probe pear");
        assert!(probe(&["start", "1", "0"]).is_err() && probe(&[]).is_err());
        assert_eq!(error(&["inst", "pear", "1"]), "no loop pear");
        assert_eq!(error(&["scale", "pear", "1", "1"]), "no row pear");
        assert_eq!(error(&["scale", "small", "0", "1"]), "no thread");
        assert_eq!(error(&["micro", "pair", "-1"]), "-1 is not positive");
        assert_eq!(error(&["measure", "A=b"]), "no program");
        assert!(error(&[]).starts_with("usage"));
    }
}

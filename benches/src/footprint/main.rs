//! Resident memory: each probe on each allocator, each in a separate process,
//! in interleaved rounds; with preloaded C libraries and in Rust programs.
//!
//! `cargo run --release -p benches --bin footprint` builds the probe programs
//! and the library, finds the peers, and prints Strata's figures next to their
//! targets and those of the peers.

mod contenders;
mod settings;

mod redis;

mod running;

mod report;

mod table;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use benches::missing::sift;
use benches::probes::{self, PROBES, Probe};
use benches::procfs;
use benches::progress::Progress;
use benches::scratch::Scratch;
use clap::{Parser, ValueEnum};

use contenders::{Contender, Interface};
use redis::{REDIS, Redis};
use report::{Part, Report, RowReport, Samples};
use running::Running;
use settings::Settings;

/// Seeds the order of the allocators.
const ORDER: u64 = 900;

/// Compare the resident memory of allocators, with probes in separate
/// processes.
#[derive(Debug, Parser)]
#[command(name = "footprint")]
struct Arguments {
    /// Probes to run, in this order [default: all]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = probe)]
    probes: Vec<&'static Probe>,

    /// Allocators to run [default: all]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = names())]
    allocators: Vec<String>,

    /// How the programs get their allocators
    #[arg(long, default_value = "both")]
    mode: Mode,

    /// Runs of each probe on each allocator [default: 3, quick: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,

    /// Small counts and short sleeps, once: only checks that everything runs
    #[arg(long)]
    quick: bool,

    /// Describe the probes and exit
    #[arg(long)]
    list: bool,

    /// Also write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The programs to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// With a preloaded C library
    C,
    /// Rust programs with a global allocator
    Rust,
    /// Both, one after the other
    Both,
}

impl Mode {
    fn interfaces(self) -> &'static [Interface] {
        match self {
            Mode::C => &[Interface::C],
            Mode::Rust => &[Interface::Rust],
            Mode::Both => &[Interface::C, Interface::Rust],
        }
    }
}

/// Every probe, in the order of the report.
fn all() -> impl Iterator<Item = &'static Probe> {
    PROBES.iter().chain([&REDIS])
}

fn probe(name: &str) -> Result<&'static Probe, String> {
    let names = || all().map(|probe| probe.name).collect::<Vec<_>>().join(", ");
    let redis = (name == REDIS.name).then_some(&REDIS);
    probes::find(name).or(redis).ok_or_else(|| format!("expected one of {}", names()))
}

/// Every allocator, with either interface.
fn names() -> Vec<&'static str> {
    let mut names = Interface::C.names();
    let more = Interface::Rust.names().into_iter().filter(|name| !names.contains(name));
    names.extend(more.collect::<Vec<_>>());
    names
}

/// Runs all rounds. In each, every probe visits the allocators in a random
/// order. Probes that sleep do so at the same time. An allocator that fails on
/// a probe is excluded from it.
fn measure(
    probes: &[&'static Probe],
    contenders: &[Contender],
    redis: Option<&Redis>,
    settings: Settings,
    rounds: usize,
    progress: &Progress,
) -> Vec<RowReport> {
    let samples = |probe: &Probe, contender: &Contender| {
        let error = running::check(probe, contender, redis).err().map(|error| format!("{error:#}"));
        Samples { allocator: contender.name, kib: Vec::new(), error }
    };
    let mut table: Vec<Vec<Samples>> = probes
        .iter()
        .map(|probe| contenders.iter().map(|contender| samples(probe, contender)).collect())
        .collect();
    let note = |samples: &mut Samples, probe: &Probe, round: usize, result: Result<Vec<u64>>| {
        match result {
            Ok(kib) => samples.kib.push(kib),
            Err(error) => {
                let error = format!("round {}: {error:#}", round + 1);
                progress.say(&format!("{} on {}: {error}", probe.name, samples.allocator));
                samples.error = Some(error);
            }
        }
        progress.step();
    };
    let mut rng = fastrand::Rng::with_seed(ORDER);
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    progress.steps((rounds * probes.len() * contenders.len()) as u64);
    for round in 0..rounds {
        progress.now(&format!("round {} of {rounds}", round + 1));
        for (probe, table) in probes.iter().zip(&mut table) {
            let redis = redis.filter(|_| **probe == REDIS);
            rng.shuffle(&mut order);
            let mut asleep = Vec::new();
            for n in &order {
                let samples = &mut table[*n];
                if samples.error.is_some() {
                    progress.step();
                    continue;
                }
                match Running::begin(probe, &contenders[*n], redis, settings) {
                    Ok(running) if probe.idles => asleep.push((*n, running)),
                    Ok(running) => note(samples, probe, round, running.end()),
                    Err(error) => note(samples, probe, round, Err(error)),
                }
            }
            for (n, running) in asleep {
                note(&mut table[n], probe, round, running.end());
            }
        }
    }
    progress.finish();
    let rows = probes.iter().zip(table);
    rows.map(|(probe, samples)| RowReport::new(probe, samples)).collect()
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let probes = match arguments.probes {
        probes if probes.is_empty() => all().collect(),
        probes => probes,
    };
    let legend = table::legend(probes.iter().copied());
    if arguments.list {
        print!("{legend}");
        return Ok(ExitCode::SUCCESS);
    }
    let (rounds, scale, idle) = if arguments.quick { (1, 0.05, 1.5) } else { (3, 1.0, 10.0) };
    let rounds = arguments.rounds.unwrap_or(rounds) as usize;
    let limit = Duration::from_secs(120);
    let settings = Settings { scale, idle: Duration::from_secs_f64(idle), limit };

    let (progress, scratch) = (Progress::new(), Scratch::new("footprint")?);
    let (mut missing, mut parts) = (Vec::new(), Vec::new());
    for interface in arguments.mode.interfaces() {
        let wanted = |name: &&str| {
            arguments.allocators.is_empty() || arguments.allocators.iter().any(|a| a == name)
        };
        let names: Vec<&str> = interface.names().into_iter().filter(wanted).collect();
        let mut probes = probes.clone();
        let mut redis = None;
        if let Some(n) = probes.iter().position(|probe| **probe == REDIS) {
            if *interface == Interface::C {
                let found = Redis::find(scratch.path().to_owned());
                redis = sift(found, REDIS.name, &mut missing, &progress);
            }
            if redis.is_none() {
                probes.remove(n);
            }
        }
        if names.is_empty() || probes.is_empty() {
            continue;
        }
        progress.now(interface.label());
        let contenders =
            contenders::find(*interface, &names, scratch.path(), &mut missing, &progress)?;
        let rows = measure(&probes, &contenders, redis.as_ref(), settings, rounds, &progress);
        parts.push(Part::new(*interface, &contenders, rows));
    }
    if parts.iter().all(|part| part.allocators.is_empty()) {
        bail!("nothing to run");
    }
    let machine = procfs::machine();
    let report = Report { machine, scale, idle_s: idle, rounds, missing, parts };
    println!("{}", table::render(&report, &legend));
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
            eprintln!("footprint: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_knows_the_probes_and_the_allocators() {
        let parse = |args: &[&str]| Arguments::try_parse_from(args);
        let good = ["footprint", "--probes", "redis,holes", "--allocators", "jemalloc-bg,snmalloc"];
        let good = parse(&good).unwrap();
        assert_eq!(
            good.probes.iter().map(|probe| probe.name).collect::<Vec<_>>(),
            ["redis", "holes"]
        );
        assert_eq!(good.mode, Mode::Both);
        assert_eq!(parse(&["footprint", "--mode", "c"]).unwrap().mode, Mode::C);
        assert!(parse(&["footprint", "--mode", "d"]).is_err());
        assert!(parse(&["footprint", "--probes", "pear"]).is_err());
        assert!(parse(&["footprint", "--allocators", "malloc"]).is_err());
        assert!(parse(&["footprint", "--rounds", "0"]).is_err());
    }

    #[test]
    fn names_are_unique() {
        let (probes, allocators): (Vec<_>, _) = (all().map(|probe| probe.name).collect(), names());
        for names in [probes, allocators] {
            for (n, name) in names.iter().enumerate() {
                assert!(!names[n + 1..].contains(name), "{name}");
            }
        }
    }

    #[test]
    fn a_program_that_fails_leaves_the_others_running() {
        let contenders =
            [contenders::tests::example("/bin/false"), contenders::tests::example("/nowhere")];
        let probes: Vec<&Probe> = all().take(2).collect();
        let limit = Duration::from_secs(5);
        let settings = Settings { scale: 1.0, idle: limit, limit };
        let rows = measure(&probes, &contenders, None, settings, 2, &Progress::new());
        for row in rows {
            assert!(row.series[0].error.as_ref().unwrap().starts_with("round 1"));
            assert!(row.series[1].error.as_ref().unwrap().contains("starting"));
            assert!(row.series.iter().all(|series| series.figure.is_none()));
        }
    }
}

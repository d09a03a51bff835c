//! The main program: builds the servers, runs the rounds, writes the reports.

mod cli;
mod stats;

mod figures;

mod builds;
mod chart;
mod json;
mod page;
mod rounds;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use benches::load::{self, Plan};
use benches::procfs;
use benches::progress::Progress;
use clap::Parser;

use cli::{Arguments, Command, OURS};
use figures::{Contender, Footprint, Report};

/// Parses the command line and runs the command.
pub(crate) fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::Load(load)) => {
            let plan = Plan {
                address: load.address,
                pid: load.pid,
                connections: load.connections,
                fill: load.fill,
                measure: Duration::from_secs_f64(load.seconds),
                seed: load.seed,
            };
            load::main(&plan).map(|()| ExitCode::SUCCESS)
        }
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> Result<ExitCode> {
    let names = arguments.chosen();
    let settings = arguments.settings();
    let progress = Progress::new();

    let mut contenders: Vec<Contender> = names.iter().map(|name| Contender::new(name)).collect();
    let counting = builds::all(&mut contenders, &progress);

    let footprint = counting
        .and_then(|program| rounds::footprint(&program, &progress))
        .inspect_err(|error| eprintln!("the counting server failed: {error:#}"))
        .ok();
    if let Some(footprint) = &footprint {
        progress.say(&footprint.to_string());
    }

    rounds::run(&mut contenders, &settings, &progress);
    progress.finish();

    let report = Report { contenders, settings, machine: procfs::machine(), footprint };
    println!("{}", table::render(&report));
    write_files(arguments, &report)?;

    let failed = |c: &Contender| c.error.is_some() && c.name == OURS;
    let measured = report.contenders.iter().any(|c| !c.samples.is_empty());
    let good = measured && !report.contenders.iter().any(failed);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_files(arguments: &Arguments, report: &Report) -> Result<()> {
    let out = arguments.out.clone().unwrap_or_else(|| builds::target_dir().join("bench"));
    std::fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    let write = |path: PathBuf, text: &str| {
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("wrote {}", path.display());
        anyhow::Ok(())
    };
    // A run without measurements does not overwrite the last chart.
    if report.measured().next().is_some() {
        let svg = chart::draw(report)?;
        write(out.join("server.svg"), &svg)?;
        write(out.join("server.html"), &page::render(report, &svg))?;
    }
    if let Some(path) = &arguments.json {
        write(path.clone(), &json::render(report)?)?;
    }
    Ok(())
}

impl std::fmt::Display for Footprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "a request allocates {:.0} blocks (and resizes {:.0}); {:.0} % of them are freed by \
             another thread",
            self.allocations_per_request,
            self.reallocations_per_request,
            self.remote_share * 100.0
        )
    }
}

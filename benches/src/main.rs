//! Compares allocators: one harness for all benchmarks.
//!
//! `cargo run --release -p benches` builds the subject, a program that does
//! everything that has to run on an allocator, once for each allocator; runs it
//! in interleaved rounds, each run in a process of its own; and reports medians,
//! their spread, and the ratio to the best peer with its interval, as tables, as
//! a page and as JSON. Without a command it is the comparison of servers;
//! `--help` lists the others.

mod report;

mod allocators;

mod running;

mod suites;

mod cli;

mod scale;

mod run;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use benches::load::{self, Plan};
use clap::Parser;

use cli::{Arguments, Command, Load};

fn main() -> ExitCode {
    match command(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command.unwrap_or(Command::Server(arguments.server)) {
        Command::Server(options) => run::server(&options),
        Command::Micro(options) => run::suite("micro", &options),
        Command::Preload(options) => run::suite("preload", &options),
        Command::Programs(options) => run::suite("programs", &options),
        Command::Pages(options) => run::suite("pages", &options),
        Command::Footprint(options) => run::footprint(&options),
        Command::Instructions(options) => run::instructions(&options),
        Command::Guard(options) => run::guard(&options),
        Command::Scale(options) => scale::run(&options),
        Command::All(options) => run::all(&options),
        Command::Compare(options) => run::compare(&options),
        Command::Load(load) => drive(&load),
    }
}

/// Drives a server.
fn drive(load: &Load) -> Result<ExitCode> {
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

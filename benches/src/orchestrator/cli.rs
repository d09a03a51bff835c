//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// The allocator that the others are compared with.
pub(crate) const OURS: &str = "strata";
/// Every allocator that has a server program.
pub(crate) const KNOWN: [&str; 8] =
    ["strata", "mimalloc", "mimalloc2", "jemalloc", "glibc", "snmalloc", "rpmalloc", "tcmalloc"];
/// Allocators that are compared by default.
const DEFAULT: [&str; 4] = ["strata", "mimalloc", "jemalloc", "glibc"];

/// Compare allocators on a real HTTP/JSON server, each in a separate process.
#[derive(Debug, Parser)]
#[command(name = "benches", args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Fewer and shorter rounds: under a minute once built, with a wider spread
    #[arg(long)]
    pub(crate) quick: bool,

    /// Allocators to compare: names separated by commas, or "all"
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = allocator)]
    pub(crate) allocators: Vec<String>,

    /// Visits to each allocator [default: 7, quick: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,

    /// Also write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Directory of the chart and the page [default: target/bench]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

const AFTER_HELP: &str = "Allocators: strata, mimalloc (v3), mimalloc2 (v2), jemalloc, glibc, \
snmalloc, rpmalloc, tcmalloc.\nStrata, mimalloc, jemalloc and glibc are compared by default. The \
peers need a C compiler;\nsnmalloc and tcmalloc need a C++ compiler.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Drive one server (started by the main program)
    #[command(hide = true)]
    Load(Load),
}

#[derive(Args, Debug)]
pub(crate) struct Load {
    #[arg(long)]
    pub(crate) address: SocketAddr,
    #[arg(long)]
    pub(crate) pid: u32,
    #[arg(long)]
    pub(crate) connections: usize,
    #[arg(long)]
    pub(crate) fill: u64,
    #[arg(long)]
    pub(crate) seconds: f64,
    #[arg(long)]
    pub(crate) seed: u64,
}

/// Parameters of the rounds.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) quick: bool,
    pub(crate) rounds: u32,
    /// Connections of the load.
    pub(crate) connections: usize,
    /// Limit of the server's cache.
    pub(crate) cache_mib: u64,
    /// Orders posted before measuring; enough to fill the cache.
    pub(crate) fill: u64,
    pub(crate) measure: Duration,
    /// From the end of the load to the idle reading.
    pub(crate) idle: Duration,
}

impl Arguments {
    /// The allocators to compare, each once, in the given order.
    pub(crate) fn chosen(&self) -> Vec<String> {
        let all = self.allocators.iter().any(|name| name == "all");
        let names: Vec<&str> = match (self.allocators.is_empty(), all) {
            (true, _) => DEFAULT.to_vec(),
            (_, true) => KNOWN.to_vec(),
            _ => self.allocators.iter().map(String::as_str).collect(),
        };
        let mut chosen: Vec<String> = Vec::new();
        for name in names {
            if !chosen.iter().any(|seen| seen == name) {
                chosen.push(name.to_owned());
            }
        }
        chosen
    }

    pub(crate) fn settings(&self) -> Settings {
        let (rounds, seconds) = if self.quick { (3, 1.5) } else { (7, 4.0) };
        Settings {
            quick: self.quick,
            rounds: self.rounds.unwrap_or(rounds),
            connections: 32,
            cache_mib: 64,
            fill: 20_000,
            measure: Duration::from_secs_f64(seconds),
            idle: Duration::from_secs(10),
        }
    }
}

fn allocator(name: &str) -> Result<String, String> {
    if name == "all" || KNOWN.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("unknown allocator; expected one of {} or all", KNOWN.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"benches").chain(arguments))
    }

    #[test]
    fn the_default_is_the_four_that_build_quickly() {
        let arguments = parse(&[]).unwrap();
        assert_eq!(arguments.chosen(), DEFAULT);
        assert_eq!(arguments.settings().rounds, 7);
    }

    #[test]
    fn names_are_kept_in_order_and_once() {
        let arguments = parse(&["--allocators", "glibc,strata,glibc", "--quick"]).unwrap();
        assert_eq!(arguments.chosen(), ["glibc", "strata"]);
        assert_eq!(arguments.settings().rounds, 3);
        assert_eq!(parse(&["--allocators", "all"]).unwrap().chosen(), KNOWN);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = parse(&["--allocators", "strata,dlmalloc"]).unwrap_err().to_string();
        assert!(error.contains("dlmalloc"), "{error}");
        assert!(KNOWN.iter().all(|name| error.contains(name)), "{error}");
    }

    #[test]
    fn rounds_must_be_positive() {
        assert!(parse(&["--rounds", "0"]).is_err());
        assert_eq!(parse(&["--rounds", "2", "--quick"]).unwrap().settings().rounds, 2);
    }
}

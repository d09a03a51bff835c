//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use benches::cargo;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::allocators::{Interface, KNOWN};

/// Compare allocators, each in processes of its own. Without a command: on a real
/// HTTP/JSON server.
#[derive(Debug, Parser)]
#[command(name = "benches", args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) server: ServerOptions,
}

const AFTER_HELP: &str = "The other allocators need a C and a C++ compiler and make. What is missing \
is reported with the command that installs it.";

/// What to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A real HTTP/JSON server, driven by a load
    Server(ServerOptions),
    /// Small workloads of Rust programs
    Micro(RowOptions),
    /// C workloads, with the C library preloaded
    Preload(RowOptions),
    /// Real programs, with the C library preloaded
    Programs(RowOptions),
    /// Large blocks, memory that is used again, and memory that is given back
    Pages(RowOptions),
    /// What stays resident
    Footprint(FootprintOptions),
    /// Instructions of an allocation and a free
    Instructions(InstructionsOptions),
    /// Figures that noise cannot move, compared with those in the repository
    Guard(GuardOptions),
    /// What larger machines would take, predicted from counts
    Scale(ScaleOptions),
    /// All suites, into one report
    All(Options),
    /// Two JSON files: what the second has won and lost over the first
    Compare(CompareOptions),
    /// Drive one server (started by the main program)
    #[command(hide = true)]
    Load(Load),
}

/// Options of every suite.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    /// Less work and fewer rounds, with a wider spread
    #[arg(long)]
    pub(crate) quick: bool,

    /// Allocators to compare: names separated by commas, or "all"
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', value_parser = allocator)]
    pub(crate) allocators: Vec<String>,

    /// Visits of each row to each allocator
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,

    /// Describe the rows and exit
    #[arg(long)]
    pub(crate) list: bool,

    /// Also write all samples as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Directory of the page [default: bench in the target directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Options of `server`. Each size is compared with each number of threads.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    pub(crate) options: Options,

    /// Sizes of the server's cache [default: 64]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',',
        value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) cache_mib: Vec<u64>,

    /// Threads of the server's runtime, and of its pool [default: as many as
    /// processors]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',',
        value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) threads: Vec<u64>,
}

/// Options of suites with several rows.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RowOptions {
    #[command(flatten)]
    pub(crate) options: Options,

    /// Rows to run, or groups of them, in this order [default: all]
    #[arg(value_name = "ROW")]
    pub(crate) names: Vec<String>,

    /// The same, separated by commas
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    pub(crate) rows: Vec<String>,

    /// Factor on the amount of work
    #[arg(long, value_name = "X", value_parser = scale)]
    pub(crate) scale: Option<f64>,

    /// Cargo profile of the programs [default: that of this program]
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,

    /// Keep the measured programs on these processors, away from what else the
    /// machine does; an allocator that counts processors sees only these
    #[arg(long, value_name = "A,B,...")]
    pub(crate) pin: Option<String>,

    /// Also count system calls, in one more run under strace
    #[arg(long)]
    pub(crate) calls: bool,
}

/// How programs get their allocators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// With a preloaded C library
    C,
    /// Rust programs with a global allocator
    Rust,
    /// Both, one after the other
    #[default]
    Both,
}

impl Mode {
    /// The interfaces of it.
    pub(crate) fn interfaces(self) -> &'static [Interface] {
        match self {
            Mode::C => &[Interface::C],
            Mode::Rust => &[Interface::Rust],
            Mode::Both => &[Interface::C, Interface::Rust],
        }
    }
}

/// Options of `footprint`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct FootprintOptions {
    #[command(flatten)]
    pub(crate) rows: RowOptions,

    /// How the programs get their allocators
    #[arg(long, default_value = "both")]
    pub(crate) mode: Mode,
}

/// Options of `instructions`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct InstructionsOptions {
    #[command(flatten)]
    pub(crate) options: Options,

    /// Cargo profiles to count in: release has fat LTO, plain has none
    #[arg(
        long,
        value_name = "A,B,...",
        value_delimiter = ',',
        default_value = "release,thin,plain"
    )]
    pub(crate) profiles: Vec<String>,
}

/// Options of `guard`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GuardOptions {
    /// Rows to measure [default: all]
    #[arg(value_name = "ROW")]
    pub(crate) names: Vec<String>,

    /// Write the figures down instead of comparing them
    #[arg(long)]
    pub(crate) write: bool,

    /// Describe the rows and exit
    #[arg(long)]
    pub(crate) list: bool,
}

/// Options of `scale`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScaleOptions {
    /// Less work, with a wider spread
    #[arg(long)]
    pub(crate) quick: bool,

    /// Measurements of each row
    #[arg(long, value_name = "N", default_value = "7",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Processors of the machine to predict for
    #[arg(long, value_name = "N", default_value = "128",
        value_parser = positive)]
    pub(crate) cores: usize,

    /// Threads of the program on it
    #[arg(long, value_name = "N", default_value = "1000",
        value_parser = positive)]
    pub(crate) threads: usize,
}

/// Options of `compare`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CompareOptions {
    /// The JSON file of the run before
    #[arg(value_name = "A")]
    pub(crate) before: PathBuf,

    /// The JSON file of the run after
    #[arg(value_name = "B")]
    pub(crate) after: PathBuf,

    /// The allocator whose figures are compared
    #[arg(long, value_name = "NAME", default_value = benches::preloaded::OURS)]
    pub(crate) allocator: String,

    /// Fail if a figure is lost
    #[arg(long)]
    pub(crate) fail: bool,
}

/// Options of a load.
#[derive(Args, Clone, Debug)]
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

impl Options {
    /// The allocators that were asked for, each once, of those that are there;
    /// none if nothing was asked for.
    pub(crate) fn chosen(&self, there: &[&'static str]) -> Option<Vec<&'static str>> {
        if self.allocators.is_empty() {
            return None;
        }
        if self.allocators.iter().any(|name| name == "all") {
            return Some(there.to_vec());
        }
        let mut chosen: Vec<&'static str> = Vec::new();
        for name in &self.allocators {
            let found = there.iter().find(|it| *it == name);
            chosen.extend(found.filter(|it| !chosen.contains(it)));
        }
        Some(chosen)
    }
}

impl RowOptions {
    /// The options of a suite that takes no others.
    pub(crate) fn of(options: &Options) -> RowOptions {
        RowOptions { options: options.clone(), ..RowOptions::default() }
    }

    /// The cargo profile of the programs.
    pub(crate) fn profile(&self) -> String {
        self.profile.clone().unwrap_or_else(cargo::profile)
    }

    /// The names of rows that were asked for.
    pub(crate) fn asked(&self) -> Vec<&str> {
        self.names.iter().chain(&self.rows).map(String::as_str).collect()
    }
}

fn allocator(name: &str) -> Result<String, String> {
    if name == "all" || KNOWN.iter().any(|known| known.name == name) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
    Err(format!("unknown allocator; expected one of {} or all", names.join(", ")))
}

fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| String::from("expected a number from 1 to 100000"))
}

fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok().filter(|scale: &f64| scale.is_finite() && *scale > 0.0);
    scale.ok_or_else(|| String::from("expected a positive number"))
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::CommandFactory;

    use super::*;

    pub(crate) fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"benches").chain(arguments))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn allocators_are_kept_in_order_and_once() {
        let arguments = parse(&["--allocators", "glibc,strata,glibc", "--quick"]).unwrap();
        let there = Interface::Rust.names();
        assert_eq!(arguments.server.options.chosen(&there).unwrap(), ["glibc", "strata"]);
        assert_eq!(
            parse(&["--allocators", "all"]).unwrap().server.options.chosen(&there).unwrap(),
            there
        );
        assert_eq!(parse(&[]).unwrap().server.options.chosen(&there), None);
        // Not there with this interface.
        let only = parse(&["--allocators", "jemalloc-bg,strata"]).unwrap();
        assert_eq!(only.server.options.chosen(&there).unwrap(), ["strata"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = parse(&["--allocators", "strata,dlmalloc"]).unwrap_err().to_string();
        assert!(error.contains("dlmalloc"), "{error}");
        assert!(KNOWN.iter().all(|known| error.contains(known.name)), "{error}");
    }

    #[test]
    fn rows_are_named_in_both_ways() {
        let Some(Command::Pages(pages)) = parse(&["pages", "a", "b"]).unwrap().command else {
            panic!("pages");
        };
        assert_eq!(pages.asked(), ["a", "b"]);
        let Some(Command::Micro(micro)) = parse(&["micro", "--rows", "a,b"]).unwrap().command
        else {
            panic!("micro");
        };
        assert_eq!(micro.asked(), ["a", "b"]);
    }

    #[test]
    fn amounts_must_be_positive() {
        assert!(parse(&["--rounds", "0"]).is_err());
        assert!(parse(&["preload", "--scale", "-1"]).is_err());
        assert!(parse(&["footprint", "--mode", "d"]).is_err());
        assert!(parse(&["--cache-mib", "0"]).is_err() && parse(&["--threads", "2,0"]).is_err());
        assert_eq!(parse(&["--rounds", "2"]).unwrap().server.options.rounds, Some(2));
    }
}

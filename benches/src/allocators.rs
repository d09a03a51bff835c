//! The table of allocators: how each gets into a program.
//!
//! As a Rust program's global allocator it is a feature of the package
//! `subject`, which links it and knows its version. As a preloaded C library it
//! is in `benches::preloaded`, with its variables and where its version is from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use benches::missing::{Missing, sift};
use benches::preloaded::{self, Allocator};
use benches::progress::Progress;
use benches::{bindings, cargo};
use clap::ValueEnum;

/// How the subject is linked with an allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    /// By this feature.
    Feature(&'static str),
    /// Without any: it is the C library's.
    System,
    /// Not at all.
    Never,
}

/// An allocator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    linked: Linked,
    /// Whether it is in a default comparison of servers, and in quick runs: what
    /// builds quickly.
    is_usual: bool,
}

const fn known(name: &'static str, linked: Linked, is_usual: bool) -> Known {
    Known { name, linked, is_usual }
}

/// The allocator without which nothing is preloaded.
const SYSTEM: &str = "glibc";
/// Not an allocator to compare: it counts the blocks of the server.
const COUNT: &str = "count";
/// Not an allocator, but more programs.
const PROGRAMS: &str = "programs";

/// Every allocator, in the order of the tables.
pub(crate) const KNOWN: &[Known] = &[
    known("strata", Linked::Feature("strata"), true),
    known("mimalloc", Linked::Feature("mimalloc"), true),
    known("mimalloc2", Linked::Feature("mimalloc2"), false),
    known("jemalloc", Linked::Feature("jemalloc"), true),
    known("jemalloc-bg", Linked::Never, false),
    known("jemalloc-thp", Linked::Never, false),
    known(SYSTEM, Linked::System, true),
    known("snmalloc", Linked::Feature("snmalloc"), false),
    known("rpmalloc", Linked::Feature("rpmalloc"), false),
    known("tcmalloc", Linked::Feature("tcmalloc"), false),
    known("stoolap", Linked::Feature("stoolap"), false),
    known("gperftools", Linked::Never, false),
];

/// How a program gets its allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Interface {
    /// A preloaded C library
    C,
    /// A Rust program's global allocator
    Rust,
}

impl Interface {
    /// The allocators that are there this way.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let is_there = |known: &&Known| match self {
            Interface::C => preloaded::names().contains(&known.name),
            Interface::Rust => known.linked != Linked::Never,
        };
        KNOWN.iter().filter(is_there).map(|known| known.name).collect()
    }

    /// Its name in the reports.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Interface::C => "c",
            Interface::Rust => "rust",
        }
    }
}

/// The allocators of a default comparison of servers, and of quick runs.
pub(crate) fn usual() -> Vec<&'static str> {
    KNOWN.iter().filter(|known| known.is_usual).map(|known| known.name).collect()
}

/// A program of the package `subject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Rows and workloads.
    Subject,
    /// Probes of resident memory.
    Prober,
    /// The server.
    Server,
}

impl Program {
    fn bin(self) -> &'static str {
        match self {
            Program::Subject => "subject",
            Program::Prober => "prober",
            Program::Server => "server",
        }
    }
}

/// An allocator that was found, and the program that runs on it.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// What runs on it.
    pub(crate) program: PathBuf,
    /// What makes a program use it.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The preloaded library, if any.
    pub(crate) library: Option<PathBuf>,
}

impl Contender {
    /// A command for a program on this allocator, with no other environment
    /// variables.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").envs(self.environment.iter().cloned());
        command
    }

    /// A command for its program.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&self.program);
        command.args(arguments);
        command
    }

    /// Checks that a program that starts and exits uses the preloaded library.
    pub(crate) fn check(&self, mut command: Command) -> Result<()> {
        self.library.as_ref().map_or(Ok(()), |library| bindings::check(&mut command, library))
    }
}

/// A program with the C library's allocator: for preloading, and the subject to
/// measure other programs.
pub(crate) fn system(program: Program, profile: &str) -> Result<PathBuf> {
    cargo::subject(program.bin(), SYSTEM, None, profile)
}

/// The programs of others, with the C library's allocator.
pub(crate) fn programs(profile: &str) -> Result<PathBuf> {
    cargo::subject("program-run", SYSTEM, Some(PROGRAMS), profile)
}

/// The server that counts its blocks.
pub(crate) fn counting(profile: &str) -> Result<PathBuf> {
    cargo::subject(Program::Server.bin(), COUNT, Some(COUNT), profile)
}

/// Builds or finds the allocators of these names.
pub(crate) fn find(
    interface: Interface,
    program: Program,
    names: &[&'static str],
    profile: &str,
    missing: &mut Vec<Missing>,
    progress: &Progress,
) -> Vec<Contender> {
    let find = |name| {
        progress.now(&format!("building {name}"));
        match interface {
            Interface::C => preload(name, program, profile),
            Interface::Rust => link(name, program, profile),
        }
    };
    names.iter().filter_map(|name| sift(find(name), name, missing, progress)).collect()
}

fn preload(name: &'static str, program: Program, profile: &str) -> Result<Contender> {
    let allocator = Allocator::find(name)?;
    let environment = allocator.environment();
    let unnamed = if name == preloaded::OURS { "built from here" } else { "version unknown" };
    let version = allocator.version.as_deref().unwrap_or(unnamed);
    Ok(Contender {
        name,
        version: format!("{version}, {}", allocator.library.display()),
        program: system(program, profile)?,
        environment,
        library: Some(allocator.library),
    })
}

/// Builds a program with this allocator.
pub(crate) fn link(name: &'static str, program: Program, profile: &str) -> Result<Contender> {
    let known = KNOWN.iter().find(|known| known.name == name).context("unknown")?;
    let feature = match known.linked {
        Linked::Feature(feature) => Some(feature),
        Linked::System => None,
        Linked::Never => bail!("it is a C library only"),
    };
    let program = cargo::subject(program.bin(), name, feature, profile)?;
    let (environment, library) = (Vec::new(), None);
    let mut contender = Contender { name, version: String::new(), program, environment, library };
    let output = contender.run(&["version"]).output()?;
    ensure!(output.status.success(), "its program does not start: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().split_once(' ').filter(|(linked, _)| *linked == name);
    contender.version = version.context("its program has another allocator")?.1.to_owned();
    Ok(contender)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A contender that uses this program for everything.
    pub(crate) fn example(name: &'static str, program: &str) -> Contender {
        Contender {
            name,
            version: String::from("1"),
            program: PathBuf::from(program),
            environment: vec![("A", String::from("b"))],
            library: None,
        }
    }

    /// The features of the package `subject`.
    fn features() -> Vec<&'static str> {
        let manifest = include_str!("../subject/Cargo.toml");
        let (_, rest) = manifest.split_once("[features]\n").unwrap();
        let lines = rest.split("\n[").next().unwrap().lines();
        lines.filter_map(|line| Some(line.split_once(" = [")?.0)).collect()
    }

    #[test]
    fn every_feature_and_every_library_is_in_the_table() {
        let of = |known: &Known| match known.linked {
            Linked::Feature(feature) => Some(feature),
            _ => None,
        };
        let mut linked: Vec<_> = KNOWN.iter().filter_map(of).chain([COUNT, PROGRAMS]).collect();
        let mut features = features();
        linked.sort_unstable();
        features.sort_unstable();
        assert_eq!(linked, features);
        assert_eq!(Interface::C.names().len(), preloaded::names().len());
    }

    #[test]
    fn names_are_unique_and_ours_is_first() {
        for (n, known) in KNOWN.iter().enumerate() {
            assert!(KNOWN[n + 1..].iter().all(|other| other.name != known.name));
        }
        for interface in [Interface::C, Interface::Rust] {
            let names = interface.names();
            assert_eq!(names[0], preloaded::OURS);
            assert!(names.contains(&SYSTEM));
        }
        assert_eq!(usual(), ["strata", "mimalloc", "jemalloc", "glibc"]);
    }

    #[test]
    fn a_program_has_the_allocators_environment_and_no_other() {
        let output = example("x", "/usr/bin/env").run(&[]).output().unwrap();
        let mut lines: Vec<_> = str::from_utf8(&output.stdout).unwrap().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A=b", "LC_ALL=C"]);
    }
}

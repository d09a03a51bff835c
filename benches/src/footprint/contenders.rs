//! The allocators to compare, and the programs that run on them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use benches::installed::install;
use benches::missing::{Missing, sift};
use benches::preloaded::{self, Allocator};
use benches::probes::Probe;
use benches::progress::Progress;
use benches::{bindings, cargo};
use clap::ValueEnum;
use serde::Serialize;

/// Prefix of the probe programs' names, before the allocator's name.
const PREFIX: &str = "footprint";

/// How a program gets its allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Interface {
    /// A preloaded C library.
    C,
    /// A Rust program's global allocator.
    Rust,
}

impl Interface {
    /// The allocators that are available this way.
    pub(crate) fn names(self) -> Vec<&'static str> {
        match self {
            Interface::C => preloaded::names(),
            Interface::Rust => cargo::ALLOCATORS.to_vec(),
        }
    }

    /// Its name in the report.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Interface::C => "with the C library preloaded",
            Interface::Rust => "as a Rust program's global allocator",
        }
    }
}

/// An allocator with its programs.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// The version of its package, if it comes from one.
    pub(crate) version: Option<String>,
    /// The preloaded library, if any.
    library: Option<PathBuf>,
    environment: Vec<(&'static str, String)>,
    /// The program that runs the probes.
    prober: PathBuf,
    /// The program that only starts.
    starter: PathBuf,
}

impl Contender {
    /// A command for one of its programs, with no other environment variables.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").envs(self.environment.iter().cloned());
        command
    }

    /// The program that runs a probe; the arguments are added by the caller.
    pub(crate) fn probe(&self, probe: &Probe) -> Command {
        let starts = probe.name == "start";
        self.command(if starts { &self.starter } else { &self.prober })
    }

    /// Checks that a program uses the preloaded library.
    pub(crate) fn check(&self, mut program: Command) -> Result<()> {
        match &self.library {
            Some(library) => bindings::check(program.arg("--version"), library),
            None => Ok(()),
        }
    }
}

/// Builds or finds the allocators to compare. `dir` is for a program that is
/// compiled here.
pub(crate) fn find(
    interface: Interface,
    names: &[&'static str],
    dir: &Path,
    missing: &mut Vec<Missing>,
    progress: &Progress,
) -> Result<Vec<Contender>> {
    let mut take = |name: &str, found: Result<Contender>| sift(found, name, missing, progress);
    Ok(match interface {
        Interface::C => {
            let prober = cargo::each(PREFIX, &["glibc"], "release").remove(0)?;
            let starter = compile(dir)?;
            let contender = |name| {
                let allocator = Allocator::find(name)?;
                Ok(Contender {
                    name,
                    environment: allocator.environment(),
                    version: allocator.version,
                    library: Some(allocator.library),
                    prober: prober.clone(),
                    starter: starter.clone(),
                })
            };
            names.iter().filter_map(|name| take(name, contender(name))).collect()
        }
        Interface::Rust => {
            let built = cargo::each(PREFIX, names, "release");
            let contender = |name, prober: PathBuf| Contender {
                name,
                version: None,
                library: None,
                environment: Vec::new(),
                starter: prober.clone(),
                prober,
            };
            let built = names.iter().zip(built);
            built
                .filter_map(|(name, built)| take(name, built.map(|p| contender(name, p))))
                .collect()
        }
    })
}

/// Compiles the C program that only starts.
fn compile(dir: &Path) -> Result<PathBuf> {
    let (source, program) = (dir.join("start.c"), dir.join("start"));
    std::fs::write(&source, include_str!("start.c"))
        .with_context(|| format!("cannot write {}", source.display()))?;
    let mut command = Command::new("cc");
    command.args(["-O2", "-Wall", "-o"]).arg(&program).arg(&source);
    let status =
        command.status().with_context(|| format!("cc is not installed; {}", install("gcc")))?;
    if !status.success() {
        bail!("cc: {status}");
    }
    Ok(program)
}

#[cfg(test)]
pub(crate) mod tests {
    use benches::probes;
    use benches::scratch::Scratch;

    use super::*;

    /// A contender that uses this program for everything.
    pub(crate) fn example(program: &str) -> Contender {
        Contender {
            name: "glibc",
            version: None,
            library: None,
            environment: vec![("A", String::from("b"))],
            prober: PathBuf::from(program),
            starter: PathBuf::from(program),
        }
    }

    #[test]
    fn the_program_that_starts_says_what_is_resident() {
        let scratch = Scratch::new("starts").unwrap();
        let program = compile(scratch.path()).unwrap();
        let output = example("/bin/true").command(&program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let Some(probes::Told::Reading("started", kib)) = probes::Told::parse(text.trim_end())
        else {
            panic!("{text:?}");
        };
        assert!((500..20_000).contains(&kib), "{kib}");
    }

    #[test]
    fn a_program_has_the_allocators_environment_and_no_other() {
        let output = example("/bin/true").command(Path::new("/usr/bin/env")).output().unwrap();
        let mut lines: Vec<_> = str::from_utf8(&output.stdout).unwrap().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["A=b", "LC_ALL=C"]);
    }

    #[test]
    fn each_interface_has_ours_first_and_glibc() {
        for interface in [Interface::C, Interface::Rust] {
            let names = interface.names();
            assert_eq!(names[0], preloaded::OURS);
            assert!(names.contains(&"glibc"));
        }
    }
}

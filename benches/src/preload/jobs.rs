//! The command of a row: a workload, or a program as shipped by Debian.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use benches::installed::find;
use benches::measured::Measured;
use benches::preloaded::Allocator;
use benches::process::Leashed;
use benches::workloads::WORKLOADS;
use fastrand::Rng;

use crate::measuring::{finish, measuring};
use crate::redis::Redis;

/// One row of the report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Its description.
    pub(crate) what: &'static str,
}

/// The programs, after the workloads.
const PROGRAMS: [Row; 4] = [
    Row { name: "z3", what: "solves inequalities over the rationals" },
    Row { name: "gs", what: "interprets pages of text and curves" },
    Row { name: "lua", what: "creates tables of strings" },
    Row { name: "redis", what: "serves SET, GET and LPUSH; processor time of the server" },
];

/// Every row, in the order of the report.
pub(crate) fn rows() -> Vec<Row> {
    let workloads = WORKLOADS.iter().map(|work| Row { name: work.name, what: work.what });
    workloads.chain(PROGRAMS).collect()
}

/// A row that is ready to run.
pub(crate) enum Job {
    /// A program that runs to its end.
    Program { path: PathBuf, arguments: Vec<String>, probe: &'static str },
    /// A server that is driven by a load.
    Redis(Redis),
}

impl Job {
    /// Finds the row's program and writes its input to `dir`.
    pub(crate) fn prepare(row: Row, runner: &Path, dir: &Path, scale: f64) -> Result<Job> {
        let put = |name: &str, text: &str| -> Result<String> {
            let path = dir.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path.display().to_string())
        };
        let some = |n: f64| (n * scale).round().max(1.0);
        let (path, arguments, probe) = match row.name {
            "z3" => {
                let input = put("problems.smt2", &problems(some(10.0) as u32))?;
                (find("z3", "z3")?, vec![input], "--version")
            }
            "gs" => {
                let input = put("pages.ps", include_str!("scripts/pages.ps"))?;
                let mut arguments = words("-q -dBATCH -dNOPAUSE -dSAFER -sDEVICE=bbox");
                arguments.push(format!("-dPAGES={}", some(20.0)));
                arguments.push(input);
                (find("gs", "ghostscript")?, arguments, "--version")
            }
            "lua" => {
                let input = put("tables.lua", include_str!("scripts/tables.lua"))?;
                let arguments = vec![input, some(100_000.0).to_string()];
                (find("lua5.4", "lua5.4")?, arguments, "-v")
            }
            "redis" => {
                return Ok(Job::Redis(Redis {
                    server: find("redis-server", "redis-server")?,
                    load: find("redis-benchmark", "redis-tools")?,
                    dir: dir.to_owned(),
                    requests: some(200_000.0) as u64,
                }));
            }
            _ => {
                let mut arguments = words("work");
                arguments.extend([row.name.to_owned(), scale.to_string()]);
                (runner.to_owned(), arguments, "--help")
            }
        };
        Ok(Job::Program { path, arguments, probe })
    }

    /// A command that starts the program and exits at once.
    pub(crate) fn probe(&self, allocator: &Allocator) -> Command {
        let (path, argument) = match self {
            Job::Program { path, probe, .. } => (path, *probe),
            Job::Redis(redis) => (&redis.server, "--version"),
        };
        let mut command = Command::new(path);
        command.env_clear().envs(allocator.environment()).arg(argument);
        command
    }

    /// Runs it on an allocator.
    pub(crate) fn sample(
        &self,
        runner: &Path,
        allocator: &Allocator,
        limit: Duration,
    ) -> Result<Measured> {
        match self {
            Job::Program { path, arguments, .. } => {
                let mut command = measuring(runner, allocator, path);
                let mut run = Leashed::start(command.args(arguments), "it")?;
                finish(&mut run, limit)
            }
            Job::Redis(redis) => redis.sample(runner, allocator, limit),
        }
    }

    /// The figure that is used as the row's time.
    pub(crate) fn seconds(&self, measured: &Measured) -> f64 {
        match self {
            Job::Program { .. } => measured.wall_s,
            // The server's lifetime depends on the load.
            Job::Redis(_) => measured.cpu_s,
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

/// Problems for an SMT solver: rational variables within bounds, and pairs of
/// inequalities of which one must hold. Solving them allocates many small
/// numbers of arbitrary precision. After each answer the solver prints how much
/// work it did.
fn problems(count: u32) -> String {
    const VARIABLES: usize = 20;
    const PAIRS: usize = 30;
    let mut rng = Rng::with_seed(700);
    let mut text = String::new();
    for _ in 0..count {
        text.push_str("(reset)\n(set-logic QF_LRA)\n");
        for n in 0..VARIABLES {
            let _ = writeln!(text, "(declare-const x{n} Real)");
            let _ = writeln!(text, "(assert (and (<= 0 x{n}) (<= x{n} 1000)))");
        }
        let mut variables: Vec<usize> = (0..VARIABLES).collect();
        for _ in 0..PAIRS {
            rng.shuffle(&mut variables);
            let terms = variables[..6].iter().map(|n| format!("(* {} x{n})", whole(&mut rng, 99)));
            let sum = terms.collect::<Vec<_>>().join(" ");
            let (bound, other) = (whole(&mut rng, 500), rng.u32(500..1900));
            let (a, b) = (variables[6], variables[7]);
            let pair = format!("(<= (+ {sum}) {bound}) (> (+ x{a} x{b}) {other})");
            let _ = writeln!(text, "(assert (or {pair}))");
        }
        text.push_str("(check-sat)\n(get-info :rlimit)\n");
    }
    text
}

/// A random integer of at most this magnitude, in SMT-LIB's notation.
fn whole(rng: &mut Rng, most: i32) -> String {
    match rng.i32(-most..=most) {
        n if n < 0 => format!("(- {})", -n),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_the_same_every_time_and_balanced() {
        let text = problems(2);
        assert_eq!(text, problems(2));
        assert_eq!(text.matches("(check-sat)").count(), 2);
        assert_eq!(text.matches("(assert (or ").count(), 60);
        assert_eq!(text.matches('(').count(), text.matches(')').count());
        assert!(!text.contains("(* -"), "a negative number is in parentheses");
    }

    #[test]
    fn names_are_unique() {
        let rows = rows();
        for (n, row) in rows.iter().enumerate() {
            assert!(rows[n + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
        }
    }
}

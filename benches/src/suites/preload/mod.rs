//! C workloads and real programs.

mod inputs;

mod redis;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use benches::installed::find;
use benches::measured::Measured;
use benches::preloaded::MEMORY;
use benches::workloads::WORKLOADS;

use crate::allocators::{Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::programs::{measuring, process_figures, process_values, run};
use crate::running::suite::{Amount, Row, Sample, Sampler, Settings, Suite, Visit, everyone};
use redis::Redis;

/// With the C library preloaded.
pub(crate) const PRELOAD: Suite = Suite {
    name: "preload",
    what: "C workloads and real programs; time is that of the process, for redis processor time",
    program: Program::Subject,
    interfaces: &[Interface::C],
    allocators: everyone,
    rows,
    is_quick: |name| QUICK.contains(&name),
    full: Amount { rounds: 10, scale: 1.0 },
    quick: Amount { rounds: 1, scale: 0.05 },
    mean_bounds: &[],
    start: |settings| Ok(Box::new(Preload { settings: settings.clone(), jobs: HashMap::new() })),
};

/// The rows of a quick run.
const QUICK: [&str; 8] =
    ["larson2", "xmalloc4", "mstress8", "rptest4", "alloc-test1", "glibc-simple", "lua", "redis"];

/// The programs, after the workloads.
const PROGRAMS: [(&str, &str); 4] = [
    ("z3", "solves inequalities over the rationals"),
    ("gs", "interprets pages of text and curves"),
    ("lua", "creates tables of strings"),
    ("redis", "serves SET, GET and LPUSH; processor time of the server"),
];

/// The time, and the figures of the process, of which the wall is a detail. The
/// peak is compared with that of one peer.
fn figures() -> Vec<Figure> {
    let mut figures = vec![Figure::less("time", "s", 0.001)];
    figures.extend(process_figures().into_iter().map(|figure| match figure.name.as_str() {
        "processor" => figure,
        "peak" => Figure { peer: Some(MEMORY.to_owned()), ..figure },
        _ => figure.detail(),
    }));
    figures
}

fn rows(_: &Settings) -> Vec<Row> {
    let workloads = WORKLOADS.iter().map(|work| (work.name, work.what));
    let row = |(name, what): (&str, &str)| Row {
        name: name.to_owned(),
        what: what.to_owned(),
        group: "",
        figures: figures(),
    };
    workloads.chain(PROGRAMS).map(row).collect()
}

/// A row that is ready to run.
enum Job {
    /// A program that runs to its end, with its arguments, and what makes it exit
    /// at once.
    Program(PathBuf, Vec<String>, &'static str),
    /// A server that is driven by a load.
    Redis(Redis),
}

struct Preload {
    settings: Settings,
    /// By row.
    jobs: HashMap<String, Job>,
}

fn sample(time: f64, measured: &Measured) -> Visit {
    let mut values = vec![Some(time)];
    values.extend(process_values(measured));
    Visit::Over(Sample { values, result: Some(measured.output.clone()) })
}

impl Preload {
    fn job(&self, row: &Row) -> Result<&Job> {
        self.jobs.get(&row.name).with_context(|| format!("{} is not prepared", row.name))
    }
}

impl Sampler for Preload {
    fn prepare(&mut self, row: &Row) -> Result<()> {
        let Settings { runner, dir, amount, .. } = &self.settings;
        let job = job(&row.name, runner, dir, amount.scale)?;
        self.jobs.insert(row.name.clone(), job);
        Ok(())
    }

    fn check(&self, row: &Row, contender: &Contender) -> Result<()> {
        let mut probe = match self.job(row)? {
            Job::Program(path, _, argument) => (contender.command(path), *argument),
            Job::Redis(redis) => (contender.command(&redis.server), "--version"),
        };
        probe.0.arg(probe.1);
        contender.check(probe.0)
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let limit = self.settings.limit(180.0);
        Ok(match self.job(row)? {
            Job::Program(path, arguments, _) => {
                let mut command = measuring(&self.settings, contender, path);
                let measured = run(command.args(arguments), limit)?;
                sample(measured.wall_s, &measured)
            }
            Job::Redis(redis) => {
                let measured = redis.sample(&self.settings, contender, limit)?;
                // The server's lifetime depends on the load.
                sample(measured.user_s + measured.system_s, &measured)
            }
        })
    }

    fn command(&self, row: &Row, contender: &Contender) -> Option<Command> {
        match self.job(row).ok()? {
            Job::Program(path, arguments, _) => {
                let mut command = contender.command(path);
                command.args(arguments);
                Some(command)
            }
            Job::Redis(_) => None,
        }
    }
}

/// Finds a row's program and writes its input to `dir`.
fn job(name: &str, runner: &Path, dir: &Path, scale: f64) -> Result<Job> {
    let put = |name: &str, text: &str| -> Result<String> {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    };
    let some = |n: f64| (n * scale).round().max(1.0);
    Ok(match name {
        "z3" => {
            let input = put("problems.smt2", &inputs::problems(some(10.0) as u32))?;
            Job::Program(find("z3", "z3")?, vec![input], "--version")
        }
        "gs" => {
            let input = put("pages.ps", include_str!("scripts/pages.ps"))?;
            let mut arguments = words("-q -dBATCH -dNOPAUSE -dSAFER -sDEVICE=bbox");
            arguments.push(format!("-dPAGES={}", some(20.0)));
            arguments.push(input);
            Job::Program(find("gs", "ghostscript")?, arguments, "--version")
        }
        "lua" => {
            let input = put("tables.lua", include_str!("scripts/tables.lua"))?;
            let arguments = vec![input, some(100_000.0).to_string()];
            Job::Program(find("lua5.4", "lua5.4")?, arguments, "-v")
        }
        "redis" => Job::Redis(Redis {
            server: find("redis-server", "redis-server")?,
            load: find("redis-benchmark", "redis-tools")?,
            requests: some(200_000.0) as u64,
        }),
        _ => {
            let mut arguments = words("work");
            arguments.extend([name.to_owned(), scale.to_string()]);
            Job::Program(runner.to_owned(), arguments, "version")
        }
    })
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::running::rounds::tests::settings;

    #[test]
    fn the_rows_of_a_quick_run_exist() {
        let rows = rows(&settings(1));
        assert!(QUICK.iter().all(|name| rows.iter().any(|row| row.name == *name)));
    }

    #[test]
    fn each_figure_has_a_value() {
        let Visit::Over(sample) = sample(1.0, &Measured::default()) else { panic!("over") };
        assert_eq!(sample.values.len(), figures().len());
    }
}

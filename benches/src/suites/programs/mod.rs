//! Real programs, none of them written to measure allocators.

mod c_source;

mod inputs;

mod redis;

mod jobs;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use benches::measured::Measured;
use benches::programs::{Half, PROGRAMS};

use crate::allocators::{self, Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::programs::{measuring, process_figures, process_values, run};
use crate::running::suite::{Amount, Row, Sample, Sampler, Settings, Suite, Visit};
use jobs::{Job, Run, TOOLS};
use redis::LOADS;

/// With the C library preloaded.
pub(crate) const PROGRAMS_SUITE: Suite = Suite {
    name: "programs",
    what: "real programs; time is that of the process, for redis processor time",
    program: Program::Subject,
    interfaces: &[Interface::C],
    allocators: |interface, quick| if quick { allocators::usual() } else { interface.names() },
    rows,
    is_quick: |_| true,
    full: Amount { rounds: 5, scale: 1.0 },
    quick: Amount { rounds: 1, scale: 0.05 },
    in_all: 4,
    mean_bounds: &[],
    start: |settings| Ok(Box::new(Programs::new(settings.clone()))),
};

/// The time, and the figures of the process. The wall is a detail, and so are the
/// parts of the processor's time, which is told exactly only as a whole.
fn figures() -> Vec<Figure> {
    let mut figures = vec![Figure::less("time", "s", 0.001)];
    figures.extend(process_figures().into_iter().map(|figure| match figure.name.as_str() {
        "wall" | "user" | "system" | "huge pages at the end" => figure.detail(),
        _ => figure,
    }));
    figures
}

/// The group is the half: each half has means of its own.
fn rows(_: &Settings) -> Vec<Row> {
    let row = |name: &str, what: &str, half: Half| Row {
        name: name.to_owned(),
        what: format!("{what} ({})", half.label()),
        group: half.label(),
        figures: figures(),
    };
    let crates = PROGRAMS.iter().map(|it| row(it.name, it.what, it.half));
    let tools = TOOLS.iter().map(|it| row(it.name, it.what, it.half));
    let loads = LOADS.iter().map(|it| row(it.name, it.what, it.half));
    crates.chain(tools).chain(loads).collect()
}

struct Programs {
    settings: Settings,
    /// The program with all that are crates, or why it did not build.
    crates: Option<Result<PathBuf, String>>,
    /// By row.
    jobs: HashMap<String, Job>,
}

fn sample(time: f64, measured: Measured) -> Visit {
    let mut values = vec![Some(time)];
    values.extend(process_values(&measured));
    Visit::Over(Sample { values, result: Some(measured.output) })
}

/// An allocator with variables of the program.
fn with(contender: &Contender, run: &Run) -> Contender {
    let mut contender = contender.clone();
    let own = run.variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
    contender.environment.extend(own);
    contender
}

impl Programs {
    fn new(settings: Settings) -> Programs {
        Programs { settings, crates: None, jobs: HashMap::new() }
    }

    /// A program that is a crate. All are built together, once.
    fn of_crate(&mut self, name: &str) -> Result<Job> {
        let Settings { profile, amount, .. } = &self.settings;
        let build = || allocators::programs(profile).map_err(|error| format!("{error:#}"));
        let built = self.crates.get_or_insert_with(build);
        let path = built.clone().map_err(|error| anyhow!(error))?;
        let arguments = vec![name.to_owned(), amount.scale.to_string()];
        Ok(Job::Run(Run { path, arguments, version: "version", variables: &[] }))
    }

    fn job(&self, row: &Row) -> Result<&Job> {
        self.jobs.get(&row.name).with_context(|| format!("{} is not prepared", row.name))
    }
}

impl Sampler for Programs {
    fn prepare(&mut self, row: &Row) -> Result<()> {
        let Settings { dir, amount, .. } = &self.settings;
        let job = match jobs::job(&row.name, dir, amount.scale)? {
            Some(job) => job,
            None => self.of_crate(&row.name)?,
        };
        self.jobs.insert(row.name.clone(), job);
        Ok(())
    }

    fn check(&self, row: &Row, contender: &Contender) -> Result<()> {
        let mut probe = match self.job(row)? {
            Job::Run(run) => (contender.command(&run.path), run.version),
            Job::Redis(redis) => (contender.command(&redis.server), "--version"),
        };
        probe.0.arg(probe.1);
        contender.check(probe.0)
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let limit = self.settings.limit(180.0);
        Ok(match self.job(row)? {
            Job::Run(program) => {
                let contender = with(contender, program);
                let mut command = measuring(&self.settings, &contender, &program.path);
                let measured = run(command.args(&program.arguments), limit)?;
                sample(measured.wall_s, measured)
            }
            Job::Redis(redis) => {
                let measured = redis.sample(&self.settings, contender, limit)?;
                // The server's lifetime depends on the load.
                sample(measured.user_s + measured.system_s, measured)
            }
        })
    }

    fn command(&self, row: &Row, contender: &Contender) -> Option<Command> {
        match self.job(row).ok()? {
            Job::Run(run) => {
                let mut command = with(contender, run).command(&run.path);
                command.args(&run.arguments);
                Some(command)
            }
            Job::Redis(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::running::rounds::tests::settings;

    #[test]
    fn each_figure_has_a_value() {
        let Visit::Over(sample) = sample(1.0, Measured::default()) else { panic!("over") };
        assert_eq!(sample.values.len(), figures().len());
    }

    #[test]
    fn the_halves_are_equal() {
        let rows = rows(&settings(1));
        let tuning = rows.iter().filter(|row| row.group == Half::Tuning.label()).count();
        assert_eq!(2 * tuning, rows.len());
    }

    #[test]
    fn a_program_keeps_the_allocators_variables() {
        let run = Run {
            path: PathBuf::from("/usr/bin/env"),
            arguments: Vec::new(),
            version: "",
            variables: &[("C", "d")],
        };
        let both = with(&crate::allocators::tests::example("x", "/bin/true"), &run);
        let output = both.command(&run.path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("A=b\n") && text.contains("C=d\n"), "{text}");
    }
}

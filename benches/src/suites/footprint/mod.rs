//! What stays resident.

mod probing;

mod redis;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use benches::installed::install;
use benches::probes::{self, PROBES, Target};

use crate::allocators::{Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::suite::{
    Amount, Row, Sample, Sampler, Settings, Suite, Visit, every, everyone,
};
use probing::Probing;
use redis::Redis;

/// With the C library preloaded, and as global allocators of Rust programs.
pub(crate) const FOOTPRINT: Suite = Suite {
    name: "footprint",
    what: "resident memory; the targets apply to scale 1",
    program: Program::Prober,
    interfaces: &[Interface::C, Interface::Rust],
    allocators: everyone,
    rows,
    is_quick: every,
    full: Amount { rounds: 3, scale: 1.0 },
    quick: Amount { rounds: 1, scale: 0.05 },
    in_all: 3,
    mean_bounds: &[],
    start: |settings| {
        Ok(Box::new(Footprint { settings: settings.clone(), starter: None, redis: None }))
    },
};

/// The row of a program that only starts. In C it is another program.
const START: &str = "start";

/// The figures of a probe, from its readings. The last has the target.
fn figures(readings: &[&str], target: Target, settings: &Settings) -> Vec<Figure> {
    let applies = settings.amount.scale == 1.0;
    let mut figures: Vec<Figure> = readings.iter().map(|name| Figure::shown(name, "MiB")).collect();
    let last = Figure::less(readings[readings.len() - 1], "MiB", 1.0);
    match target {
        Target::Mib(most) => {
            figures.pop();
            figures.push(Figure { target: applies.then_some(most), ..last });
        }
        Target::Percent(most) => {
            let share = format!("{} / {}", last.name, readings[0]);
            let share = Figure::less(&share, "%", 1.0);
            figures.push(Figure { target: applies.then_some(most), ..share });
        }
    }
    figures
}

/// The values of these figures.
fn values(kib: &[u64], target: Target) -> Vec<Option<f64>> {
    let mut values: Vec<Option<f64>> = kib.iter().map(|kib| Some(*kib as f64 / 1024.0)).collect();
    if let (Target::Percent(_), [first, .., last]) = (target, kib) {
        values.push(Some(100.0 * *last as f64 / *first as f64));
    }
    values
}

fn rows(settings: &Settings) -> Vec<Row> {
    let row = |name: &str, what: &str, readings, target| {
        let limit = match target {
            Target::Mib(most) => format!("{most} MiB"),
            Target::Percent(most) => format!("{most} %"),
        };
        Row {
            name: name.to_owned(),
            what: format!("{what}; target {limit}"),
            group: "",
            figures: figures(readings, target, settings),
        }
    };
    let mut rows: Vec<Row> =
        PROBES.iter().map(|it| row(it.name, it.what, it.readings, it.target)).collect();
    if settings.interface == Interface::C {
        rows.push(row(redis::NAME, redis::WHAT, redis::READINGS, redis::TARGET));
    }
    rows
}

struct Footprint {
    settings: Settings,
    /// The C program that only starts.
    starter: Option<PathBuf>,
    redis: Option<Redis>,
}

impl Footprint {
    /// How long a probe sleeps.
    fn idle(&self) -> Duration {
        Duration::from_secs_f64(if self.settings.quick { 1.5 } else { 10.0 })
    }

    fn probe(&self, row: &Row, contender: &Contender) -> Command {
        let starter = self.starter.as_ref().filter(|_| row.name == START);
        match starter {
            Some(starter) => contender.command(starter),
            None => {
                let (scale, idle) = (self.settings.amount.scale, self.idle().as_secs_f64());
                contender.run(&[&row.name, &scale.to_string(), &idle.to_string()])
            }
        }
    }

    fn redis(&self) -> Result<&Redis> {
        self.redis.as_ref().context("redis is not prepared")
    }
}

impl Sampler for Footprint {
    fn prepare(&mut self, row: &Row) -> Result<()> {
        if row.name == redis::NAME {
            self.redis = Some(Redis::find(self.settings.dir.clone())?);
        }
        if row.name == START && self.settings.interface == Interface::C {
            self.starter = Some(compile(&self.settings.dir)?);
        }
        Ok(())
    }

    fn check(&self, row: &Row, contender: &Contender) -> Result<()> {
        if row.name != redis::NAME {
            // The program that only starts is checked by its own name.
            let starts = row.name == START;
            let version = || contender.run(&["version"]);
            return contender.check(if starts { self.probe(row, contender) } else { version() });
        }
        let mut server = contender.command(&self.redis()?.server);
        server.arg("--version");
        contender.check(server)
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let until = Instant::now() + self.idle();
        if row.name == redis::NAME {
            let serving = self.redis()?.begin(contender, &self.settings, self.idle())?;
            let sample =
                |kib: Vec<u64>| Sample { values: values(&kib, redis::TARGET), result: None };
            let until = Instant::now() + self.idle();
            return Ok(Visit::Asleep { until, wake: Box::new(move || serving.end().map(sample)) });
        }
        let probe = probes::find(&row.name).with_context(|| format!("no probe {}", row.name))?;
        let probing = Probing::begin(probe, &mut self.probe(row, contender))?;
        let wake = move || {
            let kib = probing.end()?;
            Ok(Sample { values: values(&kib, probe.target), result: None })
        };
        if probe.idles {
            return Ok(Visit::Asleep { until, wake: Box::new(wake) });
        }
        wake().map(Visit::Over)
    }
}

/// Compiles the C program that only starts.
fn compile(dir: &Path) -> Result<PathBuf> {
    let (source, program) = (dir.join("start.c"), dir.join("start"));
    fs::write(&source, include_str!("start.c"))
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
mod tests {
    use benches::scratch::Scratch;

    use super::*;
    use crate::allocators::tests::example;
    use crate::running::rounds::tests::settings;

    #[test]
    fn the_program_that_starts_says_what_is_resident() {
        let scratch = Scratch::new("starts").unwrap();
        let program = compile(scratch.path()).unwrap();
        let output = example("glibc", "/bin/true").command(&program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let Some(probes::Told::Reading("started", kib)) = probes::Told::parse(text.trim_end())
        else {
            panic!("{text:?}");
        };
        assert!((500..20_000).contains(&kib), "{kib}");
    }

    #[test]
    fn each_figure_has_a_value_and_the_last_has_the_target() {
        let settings = settings(1);
        for row in rows(&settings) {
            let probe = probes::find(&row.name).unwrap();
            let kib: Vec<u64> = (1..=probe.readings.len() as u64).map(|n| n << 10).collect();
            assert_eq!(values(&kib, probe.target).len(), row.figures.len(), "{}", row.name);
            assert!(row.figures.last().unwrap().target.is_some(), "{}", row.name);
            assert!(row.what.contains("target"), "{}", row.what);
        }
        assert_eq!(values(&[1000, 250], Target::Percent(1.0))[2], Some(25.0));
    }

    #[test]
    fn targets_are_for_the_whole_counts_and_redis_is_for_c() {
        let mut settings = settings(1);
        settings.amount.scale = 0.05;
        assert!(rows(&settings).iter().all(|row| row.figures.iter().all(|it| it.target.is_none())));
        let names = |settings: &Settings| {
            rows(settings).into_iter().map(|row| row.name).collect::<Vec<_>>()
        };
        assert!(!names(&settings).contains(&redis::NAME.to_owned()));
        settings.interface = Interface::C;
        assert!(names(&settings).contains(&redis::NAME.to_owned()));
    }
}

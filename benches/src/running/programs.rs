//! Runs programs on an allocator, and measures their processes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use benches::measured::Measured;
use benches::process::Leashed;
use serde::de::DeserializeOwned;

use super::suite::{Row, Sample, Settings};
use crate::allocators::Contender;
use crate::report::model::Figure;

/// The command that measures `program` on an allocator, with no other environment
/// variables; the program's arguments are added by the caller.
pub(crate) fn measuring(settings: &Settings, contender: &Contender, program: &Path) -> Command {
    let mut command = Command::new(&settings.runner);
    command.env_clear().env("LC_ALL", "C").arg("measure");
    if !settings.cpus.is_empty() {
        let cpus: Vec<String> = settings.cpus.iter().map(ToString::to_string).collect();
        command.args(["--cpus", &cpus.join(",")]);
    }
    command
        .args(contender.environment.iter().map(|(name, value)| format!("{name}={value}")))
        .arg(program);
    command
}

/// Waits for a command to exit that prints a line of JSON, as one of [`measuring`] does, and parses
/// it.
pub(crate) fn finish<T: DeserializeOwned>(run: &mut Leashed, limit: Duration) -> Result<T> {
    let (status, lines) = run.run(limit)?;
    if !status.success() {
        let errors = run.errors();
        let end = errors.len().saturating_sub(3);
        bail!("{}", errors[end..].join("; "));
    }
    let line = lines.first().context("no output")?;
    serde_json::from_str(line).with_context(|| format!("unexpected output: {line}"))
}

/// Runs a command of [`measuring`] to its end.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Measured> {
    finish(&mut Leashed::start(command, "it")?, limit)
}

/// The figures of every process that runs to its end.
pub(crate) fn process_figures() -> Vec<Figure> {
    vec![
        Figure::less("wall", "s", 0.001),
        Figure::less("processor", "s", 0.001),
        Figure::less("user", "s", 0.001),
        Figure::less("system", "s", 0.001),
        Figure::less("peak", "MiB", 1.0),
        Figure::less("page faults", "", 100.0),
        Figure::less("end", "MiB", 1.0),
        Figure::shown("huge pages at the end", "MiB"),
    ]
}

/// Their values, in the same order.
pub(crate) fn process_values(measured: &Measured) -> Vec<Option<f64>> {
    let mib = |kib: u64| kib as f64 / 1024.0;
    let values = [
        measured.wall_s,
        measured.user_s + measured.system_s,
        measured.user_s,
        measured.system_s,
        mib(measured.peak_kib),
        measured.faults as f64,
        mib(measured.end_kib),
        mib(measured.huge_kib),
    ];
    values.map(Some).to_vec()
}

/// The figures of a row that prints its own, which come first; those of its
/// process are details.
pub(crate) fn with_details(own: Vec<Figure>) -> Vec<Figure> {
    let detail = |figure: Figure| {
        let name = format!("process {}", figure.name);
        Figure { name, ..figure }.detail()
    };
    own.into_iter().chain(process_figures().into_iter().map(detail)).collect()
}

/// A run of the subject that prints a line of figures.
pub(crate) fn sample(
    settings: &Settings,
    row: &Row,
    contender: &Contender,
    arguments: &[&str],
    limit: Duration,
) -> Result<Sample> {
    let mut command = measuring(settings, contender, &contender.program);
    let measured = run(command.args(arguments), limit)?;
    let line = &measured.output;
    let mut values: Vec<Option<f64>> =
        serde_json::from_str(line).with_context(|| format!("unexpected output: {line}"))?;
    values.extend(process_values(&measured));
    ensure!(values.len() == row.figures.len(), "unexpected output: {line}");
    Ok(Sample { values, result: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocators::tests::example;
    use crate::running::rounds::tests::settings;

    #[test]
    fn a_program_is_measured_with_the_allocators_variables() {
        let mut settings = settings(1);
        settings.cpus = vec![0, 1];
        let command = measuring(&settings, &example("x", "/p"), Path::new("/program"));
        let arguments: Vec<_> = command.get_args().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(arguments, ["measure", "--cpus", "0,1", "A=b", "/program"]);
    }

    #[test]
    fn programs_that_crash_or_hang_or_babble_are_errors() {
        let second = Duration::from_secs(1);
        let error = |program: &str, argument: &str, limit| {
            run(Command::new(program).arg(argument), limit).unwrap_err().to_string()
        };
        assert!(error("/bin/echo", "pair", second).contains("unexpected output: pair"));
        assert!(error("/bin/sleep", "9", Duration::from_millis(50)).contains("longer"));
        assert!(error("/nowhere", "pair", second).contains("starting"));
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo first; echo last line >&2; exit 3"]);
        assert_eq!(run(&mut shell, second).unwrap_err().to_string(), "last line");
    }

    #[test]
    fn each_figure_of_a_process_has_a_value() {
        let measured =
            Measured { user_s: 1.0, system_s: 2.0, peak_kib: 1024, ..Measured::default() };
        let values = process_values(&measured);
        assert_eq!(values.len(), process_figures().len());
        assert_eq!((values[1], values[4]), (Some(3.0), Some(1.0)));
    }
}

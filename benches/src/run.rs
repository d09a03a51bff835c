//! Runs what the command line asks for, and writes the reports.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use benches::preloaded::OURS;
use benches::progress::Progress;
use benches::scratch::Scratch;
use benches::{cargo, procfs};

use crate::allocators::{self, Interface, Program};
use crate::cli::{
    CompareOptions, FootprintOptions, GuardOptions, InstructionsOptions, Mode, Options, RowOptions,
    ServerOptions,
};
use crate::report::model::{Run, SuiteReport};
use crate::report::{compare, page, terminal};
use crate::running::rounds;
use crate::running::suite::{Row, Serving, Settings, Suite};
use crate::suites::{SUITES, guard};

/// The suite of this name.
pub(crate) fn find(name: &str) -> Result<&'static Suite> {
    SUITES.into_iter().find(|suite| suite.name == name).with_context(|| format!("no suite {name}"))
}

/// What a suite is run with, beside its name.
#[derive(Clone, Debug, Default)]
struct Asked {
    rows: RowOptions,
    mode: Mode,
    profiles: Vec<String>,
    servers: Vec<Serving>,
    /// Whether every suite is run.
    is_all: bool,
}

impl Asked {
    fn settings(&self, suite: &Suite, interface: Interface, dir: &Path) -> Result<Settings> {
        let options = &self.rows.options;
        let mut amount = if options.quick { suite.quick } else { suite.full };
        if self.is_all && !options.quick {
            amount.rounds = suite.in_all;
        }
        amount.rounds = options.rounds.map_or(amount.rounds, |rounds| rounds as usize);
        amount.scale = self.rows.scale.unwrap_or(amount.scale);
        let cpus = self.rows.pin.as_deref().map(procfs::processors).transpose()?;
        Ok(Settings {
            interface,
            amount,
            quick: options.quick,
            profile: self.rows.profile(),
            cpus: cpus.unwrap_or_default(),
            calls: self.rows.calls,
            profiles: self.profiles.clone(),
            servers: self.servers.clone(),
            runner: "subject".into(),
            dir: dir.to_owned(),
        })
    }

    fn interfaces<'a>(&self, suite: &'a Suite) -> impl Iterator<Item = Interface> + use<'a> {
        let mode = self.mode.interfaces();
        suite.interfaces.iter().copied().filter(move |it| mode.contains(it))
    }

    /// The rows to run, in the order that was asked for. The name of a group stands
    /// for all of its rows.
    fn rows(&self, suite: &Suite, settings: &Settings) -> Result<Vec<Row>> {
        let all = (suite.rows)(settings);
        let asked = self.rows.asked();
        if asked.is_empty() {
            let wanted = |row: &Row| !settings.quick || (suite.is_quick)(&row.name);
            return Ok(all.into_iter().filter(wanted).collect());
        }
        let mut rows = Vec::new();
        for name in asked {
            let named = all.iter().filter(|row| row.name == name || row.group == name);
            let before = rows.len();
            rows.extend(named.cloned());
            if rows.len() > before {
                continue;
            }
            if !self.is_elsewhere(suite, settings, name) {
                let names: Vec<&str> = all.iter().map(|row| row.name.as_str()).collect();
                bail!("no row {name}; expected one of {}", names.join(", "));
            }
        }
        Ok(rows)
    }

    /// Whether a row is there with another interface.
    fn is_elsewhere(&self, suite: &Suite, settings: &Settings, name: &str) -> bool {
        self.interfaces(suite).any(|interface| {
            let rows = (suite.rows)(&Settings { interface, ..settings.clone() });
            rows.iter().any(|row| row.name == name)
        })
    }

    /// The allocators to run: those that were asked for, or those of the suite. In
    /// a run of all, a suite of ours alone stays that, and others have the usual
    /// ones, as with all of them it would take half a day.
    fn allocators(&self, suite: &Suite, interface: Interface) -> Vec<&'static str> {
        let options = &self.rows.options;
        let usual = (suite.allocators)(interface, options.quick);
        if self.is_all && usual == [OURS] {
            return usual;
        }
        let usual = if self.is_all { allocators::usual() } else { usual };
        options.chosen(&interface.names()).unwrap_or(usual)
    }

    /// Runs a suite in each of its ways.
    fn run(&self, suite: &Suite, progress: &Progress) -> Result<Vec<SuiteReport>> {
        let scratch = Scratch::new(suite.name)?;
        let mut reports = Vec::new();
        for interface in self.interfaces(suite) {
            let mut settings = self.settings(suite, interface, scratch.path())?;
            let rows = self.rows(suite, &settings)?;
            let names = self.allocators(suite, interface);
            if rows.is_empty() || names.is_empty() {
                continue;
            }
            progress.now(&format!("{}: building", suite.name));
            settings.runner = allocators::system(Program::Subject, &settings.profile)?;
            let mut missing = Vec::new();
            let (program, profile) = (suite.program, &settings.profile);
            let found =
                allocators::find(interface, program, &names, profile, &mut missing, progress);
            reports.push(rounds::run(suite, rows, &found, &settings, missing, progress)?);
        }
        Ok(reports)
    }

    /// The description of a suite's rows.
    fn list(&self, suite: &Suite) -> Result<String> {
        let mut text = String::new();
        let mut seen = Vec::new();
        for interface in self.interfaces(suite) {
            let settings = self.settings(suite, interface, Path::new(""))?;
            for row in (suite.rows)(&settings) {
                if !seen.contains(&row.name) {
                    text += &format!("{}: {}\n", row.name, row.what);
                    seen.push(row.name);
                }
            }
        }
        Ok(text)
    }
}

/// The commit of the sources, if there is a repository.
fn commit() -> Option<String> {
    let mut command = Command::new("git");
    command.args(["describe", "--always", "--dirty"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn finished(suites: Vec<SuiteReport>) -> Run {
    Run { machine: procfs::machine(), commit: commit(), suites }
}

/// Writes the page and the JSON. A run without figures does not overwrite the
/// last page.
fn write(run: &Run, name: &str, options: &Options) -> Result<()> {
    let out = options.out.clone().unwrap_or_else(|| cargo::target_dir().join("bench"));
    let put = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
        anyhow::Ok(())
    };
    if run.suites.iter().any(|suite| !suite.rows.is_empty()) {
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        put(&out.join(format!("{name}.html")), &page::render(run)?)?;
    }
    if let Some(path) = &options.json {
        put(path, &(serde_json::to_string_pretty(run)? + "\n"))?;
    }
    Ok(())
}

/// Runs these suites into one report. If a requested item has no figures, the
/// exit status reports a failure.
fn report(name: &str, suites: &[&Suite], asked: &Asked) -> Result<ExitCode> {
    let options = &asked.rows.options;
    if options.list {
        for suite in suites {
            print!("{}", asked.list(suite)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let progress = Progress::new();
    let mut reports = Vec::new();
    for suite in suites {
        reports.extend(asked.run(suite, &progress)?);
    }
    if reports.is_empty() {
        bail!("nothing to run");
    }
    let run = finished(reports);
    println!("{}", terminal::render(&run));
    write(&run, name, options)?;
    Ok(ExitCode::from(u8::from(run.is_incomplete())))
}

/// The cargo profiles in which instructions are counted in a run of all.
fn profiles(quick: bool) -> Vec<String> {
    let profiles: &[&str] = if quick { &["release"] } else { &["release", "thin", "plain"] };
    profiles.iter().copied().map(String::from).collect()
}

/// Runs one suite.
pub(crate) fn suite(name: &str, rows: &RowOptions) -> Result<ExitCode> {
    report(name, &[find(name)?], &Asked { rows: rows.clone(), ..Asked::default() })
}

/// Runs `server`.
pub(crate) fn server(options: &ServerOptions) -> Result<ExitCode> {
    let rows = RowOptions::of(&options.options);
    let servers = Serving::all(&options.cache_mib, &options.threads);
    report("server", &[find("server")?], &Asked { rows, servers, ..Asked::default() })
}

/// Runs `footprint`.
pub(crate) fn footprint(options: &FootprintOptions) -> Result<ExitCode> {
    let (rows, mode) = (options.rows.clone(), options.mode);
    report("footprint", &[find("footprint")?], &Asked { rows, mode, ..Asked::default() })
}

/// Runs `instructions`.
pub(crate) fn instructions(options: &InstructionsOptions) -> Result<ExitCode> {
    let rows = RowOptions::of(&options.options);
    let asked = Asked { rows, profiles: options.profiles.clone(), ..Asked::default() };
    report("instructions", &[find("instructions")?], &asked)
}

/// Runs every suite.
pub(crate) fn all(options: &Options) -> Result<ExitCode> {
    let rows = RowOptions::of(options);
    let profiles = profiles(options.quick);
    let servers = if options.quick { Vec::new() } else { Serving::in_all() };
    let asked = Asked { rows, profiles, servers, is_all: true, ..Asked::default() };
    report("all", &SUITES, &asked)
}

/// The figures of these rows of the guard; of all, if there are none.
fn guarded(rows: Vec<String>) -> Result<guard::Figures> {
    let asked =
        Asked { rows: RowOptions { names: rows, ..RowOptions::default() }, ..Asked::default() };
    let run = finished(asked.run(find("guard")?, &Progress::new())?);
    if run.is_incomplete() {
        print!("{}", terminal::render(&run));
        bail!("not all was measured");
    }
    Ok(guard::measured(run.suites.first().context("nothing to run")?))
}

/// Compares the figures of the guard with those that are written down.
pub(crate) fn guard(options: &GuardOptions) -> Result<ExitCode> {
    if options.list {
        print!("{}", Asked::default().list(find("guard")?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut figures = guarded(options.names.clone())?;
    if options.write {
        guard::write(&figures)?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = guard::written()?;
    for _ in 0..guard::AGAIN {
        let moved = guard::moved(&figures, &written);
        if moved.is_empty() {
            break;
        }
        println!("measured again: {}", moved.join(", "));
        guard::take_nearer(&mut figures, &guarded(moved)?, &written);
    }
    let (text, moved) = guard::compare(&figures, &written);
    println!("{text}");
    if moved != 0 {
        println!("{moved} figures have moved; if they should, `guard --write` accepts them");
    }
    Ok(ExitCode::from(u8::from(moved != 0)))
}

/// Compares two runs.
pub(crate) fn compare(options: &CompareOptions) -> Result<ExitCode> {
    let read = |path: &Path| -> Result<Run> {
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
    };
    let (before, after) = (read(&options.before)?, read(&options.after)?);
    let comparison = compare::compare(&before, &after, &options.allocator)?;
    println!("{}", comparison.render());
    Ok(ExitCode::from(u8::from(options.fail && comparison.has_lost())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use crate::cli::tests::parse;

    #[test]
    fn every_suite_is_a_command() {
        for suite in SUITES {
            let command = parse(&[suite.name]).unwrap().command;
            assert!(command.is_some(), "{}", suite.name);
            assert!(find(suite.name).is_ok());
        }
        assert!(find("nothing").is_err());
    }

    #[test]
    fn every_row_of_every_suite_is_reached_by_its_name_and_is_listed() {
        for suite in SUITES {
            let mut asked = Asked { profiles: profiles(false), ..Asked::default() };
            let list = asked.list(suite).unwrap();
            for interface in asked.interfaces(suite) {
                let settings = asked.settings(suite, interface, Path::new("")).unwrap();
                let all = (suite.rows)(&settings);
                assert!(!all.is_empty(), "{}", suite.name);
                for (n, row) in all.iter().enumerate() {
                    assert!(all[n + 1..].iter().all(|it| it.name != row.name), "{}", row.name);
                    asked.rows.names = vec![row.name.clone()];
                    let found = asked.rows(suite, &settings).unwrap();
                    assert!(matches!(&found[..], [it] if it.name == row.name), "{}", row.name);
                    let line = format!("{}: {}\n", row.name, row.what);
                    assert!(list.contains(&line), "{}: {list}", row.name);
                    for (n, it) in row.figures.iter().enumerate() {
                        let others = &row.figures[n + 1..];
                        let name = &it.name;
                        assert!(others.iter().all(|other| other.name != *name), "{name}");
                    }
                }
                asked.rows.names.clear();
            }
        }
    }

    #[test]
    fn a_row_that_is_not_there_is_answered_with_those_that_are() {
        let suite = find("micro").unwrap();
        let Some(Command::Micro(rows)) = parse(&["micro", "pear"]).unwrap().command else {
            panic!("micro");
        };
        let asked = Asked { rows, ..Asked::default() };
        let settings = asked.settings(suite, Interface::Rust, Path::new("")).unwrap();
        let error = asked.rows(suite, &settings).unwrap_err().to_string();
        assert!(error.contains("no row pear") && error.contains("churn100k"), "{error}");
    }

    #[test]
    fn a_row_of_one_interface_can_be_asked_for_with_both() {
        let suite = find("footprint").unwrap();
        let rows =
            RowOptions { names: vec!["redis".into(), "holes".into()], ..RowOptions::default() };
        let asked = Asked { rows, ..Asked::default() };
        let of = |interface| {
            let settings = asked.settings(suite, interface, Path::new("")).unwrap();
            asked.rows(suite, &settings).unwrap().len()
        };
        assert_eq!((of(Interface::C), of(Interface::Rust)), (2, 1));
    }

    #[test]
    fn in_a_run_of_all_a_suite_of_ours_alone_stays_that() {
        let options = Options { allocators: vec!["glibc".into()], ..Options::default() };
        let asked = |is_all| Asked { rows: RowOptions::of(&options), is_all, ..Asked::default() };
        let of = |is_all, name| asked(is_all).allocators(find(name).unwrap(), Interface::C);
        assert_eq!((of(true, "guard"), of(true, "pages")), (vec![OURS], vec!["glibc"]));
        assert_eq!(of(false, "guard"), ["glibc"]);
        let nothing = Asked { is_all: true, ..Asked::default() };
        let pages = find("pages").unwrap();
        assert_eq!(nothing.allocators(pages, Interface::C), allocators::usual());
    }

    #[test]
    fn a_quick_run_is_smaller() {
        for suite in SUITES {
            let of = |quick| {
                let options = Options { quick, ..Options::default() };
                let asked = Asked { rows: RowOptions::of(&options), ..Asked::default() };
                let interface = suite.interfaces[0];
                asked.settings(suite, interface, Path::new("")).unwrap().amount
            };
            let (quick, full) = (of(true), of(false));
            assert!(suite.in_all <= full.rounds, "{}", suite.name);
            assert!(quick.rounds <= full.rounds && quick.scale <= full.scale, "{}", suite.name);
        }
    }
}

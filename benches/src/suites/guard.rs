//! A guard that noise cannot trip: instructions, page faults, system calls and
//! peak memory of programs with one thread that do the same work each time,
//! with the C library preloaded. They are compared with those in `guard.json`,
//! and may have changed by no more than a tolerance, in either direction. What
//! has changed by more is measured again: noise does not come each time. A
//! change that moves a figure says so in its commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benches::preloaded::OURS;
use benches::tables::{right, table};
use benches::{installed, micro, pages, workloads};
use comfy_table::Cell;

use crate::allocators::{Contender, Interface, Program};
use crate::report::model::{Figure, SuiteReport};
use crate::running::programs::{measuring, run};
use crate::running::strace;
use crate::running::suite::{Amount, Row, Sample, Sampler, Settings, Suite, Visit, every};

/// With the C library preloaded, ours alone.
pub(crate) const GUARD: Suite = Suite {
    name: "guard",
    what: "instructions, page faults, system calls and peaks of programs that repeat themselves",
    program: Program::Subject,
    interfaces: &[Interface::C],
    allocators: |_, _| vec![OURS],
    rows,
    is_quick: every,
    full: Amount { rounds: 1, scale: 1.0 },
    quick: Amount { rounds: 1, scale: 1.0 },
    in_all: 1,
    mean_bounds: &[],
    start: |settings| {
        installed::find("strace", "strace")?;
        let valgrind = installed::find("valgrind", "valgrind")?;
        Ok(Box::new(Meter { settings: settings.clone(), valgrind }))
    },
};

/// A program, and how much of its work.
#[derive(Debug)]
struct Guarded {
    name: &'static str,
    /// Its command of the subject.
    command: &'static str,
    scale: f64,
}

const fn workload(name: &'static str, scale: f64) -> Guarded {
    Guarded { name, command: "work", scale }
}

const fn paged(name: &'static str, scale: f64) -> Guarded {
    Guarded { name, command: "pages", scale }
}

const fn small(name: &'static str, scale: f64) -> Guarded {
    Guarded { name, command: "micro", scale }
}

/// Every row. What depends on time, such as a purge of memory that was free for a
/// while, is a small part of each: a program that frees more than may stay is none
/// of them, nor is one whose peak is where such a purge happens to be.
const ROWS: &[Guarded] = &[
    workload("shbench1", 0.05),
    workload("alloc-test1", 0.05),
    workload("glibc-simple", 0.02),
    small("pair", 0.02),
    small("pairdyn", 0.02),
    small("lifo1000", 0.1),
    small("fifo1000", 0.1),
    small("burst20000", 0.1),
    small("churn100k", 0.1),
    small("strings", 0.05),
    small("btree", 0.05),
    small("hashvec", 0.05),
    small("vecgrow", 0.1),
    small("bigbuf", 0.02),
    small("huge", 0.02),
    small("hugegrow", 0.2),
    paged("pairs", 0.1),
    paged("held8", 0.05),
    paged("held20", 0.05),
    paged("double4m", 0.2),
    paged("double256m", 1.0),
    paged("step256m", 1.0),
    paged("zeroed", 0.02),
    paged("phases", 0.125),
    paged("growing", 0.0625),
    paged("lives", 0.25),
];

/// A figure, its key in the file, and by how much it may differ.
struct Guard {
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    /// In percent, and in addition. Calls depend on time: some memory is purged
    /// when it was free for long enough.
    tolerance: (u64, u64),
}

const fn guard(
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    tolerance: (u64, u64),
) -> Guard {
    Guard { key, name, unit, tolerance }
}

const FIGURES: [Guard; 4] = [
    guard("instructions", "instructions", "", (2, 100_000)),
    guard("faults", "page faults", "", (8, 128)),
    guard("calls", "system calls", "", (25, 48)),
    guard("peak_kib", "peak", "KiB", (5, 512)),
];

impl Guard {
    /// Whether a figure has changed by more than its tolerance.
    fn has_moved(&self, now: u64, then: u64) -> bool {
        let (percent, more) = self.tolerance;
        now.abs_diff(then) > then * percent / 100 + more
    }
}

fn rows(_: &Settings) -> Vec<Row> {
    let figures = || FIGURES.iter().map(|it| Figure::less(it.name, it.unit, 1.0)).collect();
    let what = |row: &Guarded| {
        let what = match row.command {
            "work" => workloads::find(row.name).map(|it| it.what),
            "micro" => micro::find(row.name).map(|it| it.what),
            _ => pages::find(row.name).map(|it| it.what),
        };
        what.unwrap_or_default()
    };
    let row = |row: &Guarded| Row {
        name: row.name.to_owned(),
        what: what(row).to_owned(),
        group: "",
        figures: figures(),
    };
    ROWS.iter().map(row).collect()
}

/// Faults and peak are the least of so many runs: what the kernel maps of a
/// program's file, and how much of it at once, differs.
const RUNS: usize = 3;
/// Time limit for a run that is not slowed down.
const LIMIT: Duration = Duration::from_secs(60);

/// What measures a program.
struct Meter {
    settings: Settings,
    valgrind: PathBuf,
}

impl Sampler for Meter {
    fn check(&self, _row: &Row, contender: &Contender) -> Result<()> {
        contender.check(contender.run(&["version"]))
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let guarded = ROWS.iter().find(|it| it.name == row.name).context("no such row")?;
        let scale = guarded.scale.to_string();
        let mut arguments = vec![guarded.command, guarded.name, &scale];
        if guarded.command == "pages" {
            arguments.push("1");
        }
        let (mut faults, mut peak_kib) = (u64::MAX, u64::MAX);
        for _ in 0..RUNS {
            let mut command = measuring(&self.settings, contender, &contender.program);
            let measured = run(command.args(&arguments), LIMIT)?;
            faults = faults.min(measured.faults);
            peak_kib = peak_kib.min(measured.peak_kib);
        }
        let calls = strace::count(&contender.run(&arguments), &self.settings.dir)?;
        let instructions = self.count(&contender.run(&arguments))?;
        let values = [instructions, faults, calls, peak_kib].map(|value| Some(value as f64));
        Ok(Visit::Over(Sample { values: values.to_vec(), result: None }))
    }
}

impl Meter {
    /// The instructions of a program.
    fn count(&self, program: &Command) -> Result<u64> {
        let file = self.settings.dir.join("instructions");
        let status = counted(&self.valgrind, program, &file).status()?;
        ensure!(status.success(), "valgrind: {status}");
        instructions(&fs::read_to_string(&file)?).context("callgrind counted nothing")
    }
}

/// The command that counts the instructions of a program with its variables.
fn counted(valgrind: &Path, program: &Command, file: &Path) -> Command {
    let mut counted = Command::new(valgrind);
    let out = format!("--callgrind-out-file={}", file.display());
    counted.env_clear().args(["--quiet", "--tool=callgrind", &out]);
    counted.arg(program.get_program()).args(program.get_args());
    let variables = program.get_envs();
    counted.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    counted.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    counted
}

/// All instructions in callgrind's file.
fn instructions(file: &str) -> Option<u64> {
    let total = |line: &str| line.strip_prefix("totals: ")?.trim().parse().ok();
    file.lines().find_map(total)
}

/// By row, the figures by key.
pub(crate) type Figures = BTreeMap<String, BTreeMap<String, u64>>;

/// How often a row that has moved is measured again.
pub(crate) const AGAIN: usize = 2;

/// Where the figures are written down.
fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.json")
}

/// The figures that are written down.
pub(crate) fn written() -> Result<Figures> {
    let path = file();
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}", path.display()))
}

/// What was measured, as it is written down.
pub(crate) fn measured(report: &SuiteReport) -> Figures {
    let mut measured = Figures::new();
    for row in &report.rows {
        let of = |guard: &Guard| {
            let figure = row.figures.iter().find(|it| it.figure.name == guard.name)?;
            Some((guard.key.to_owned(), figure.median(OURS)? as u64))
        };
        let figures: BTreeMap<String, u64> = FIGURES.iter().filter_map(of).collect();
        if !figures.is_empty() {
            measured.insert(row.name.clone(), figures);
        }
    }
    measured
}

/// Writes the figures down.
pub(crate) fn write(measured: &Figures) -> Result<()> {
    ensure!(measured.len() == ROWS.len(), "only all rows can be written");
    Ok(fs::write(file(), serde_json::to_string_pretty(measured)? + "\n")?)
}

/// The figure of a row; 0 where there is none.
fn of(figures: &Figures, row: &str, figure: &Guard) -> u64 {
    figures.get(row).and_then(|figures| figures.get(figure.key)).copied().unwrap_or(0)
}

/// The rows of which a figure has moved.
pub(crate) fn moved(measured: &Figures, written: &Figures) -> Vec<String> {
    let has_moved = |row: &str| {
        FIGURES.iter().any(|it| it.has_moved(of(measured, row, it), of(written, row, it)))
    };
    measured.keys().filter(|row| has_moved(row)).cloned().collect()
}

/// Takes each figure that was measured again if it is nearer to the one that is written down.
pub(crate) fn take_nearer(measured: &mut Figures, again: &Figures, written: &Figures) {
    for (row, figures) in measured {
        for figure in &FIGURES {
            let (then, new) = (of(written, row, figure), of(again, row, figure));
            let now = figures.entry(figure.key.to_owned()).or_default();
            if again.contains_key(row) && new.abs_diff(then) < now.abs_diff(then) {
                *now = new;
            }
        }
    }
}

/// A table of the figures beside those that are written down, and how many have moved.
pub(crate) fn compare(measured: &Figures, written: &Figures) -> (String, usize) {
    let headings = ["row", "figure", "now", "written down", "ratio", ""];
    let (mut table, mut moved) = (table(headings.map(String::from)), 0);
    for row in measured.keys() {
        for figure in &FIGURES {
            let (now, then) = (of(measured, row, figure), of(written, row, figure));
            let has_moved = figure.has_moved(now, then);
            moved += usize::from(has_moved);
            table.add_row([
                Cell::new(row),
                Cell::new(figure.name),
                right(now.to_string()),
                right(then.to_string()),
                right(format!("{:.3}", now as f64 / then as f64)),
                Cell::new(if has_moved { "MOVED" } else { "" }),
            ]);
        }
    }
    (table.to_string(), moved)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::allocators::tests::example;
    use crate::running::rounds::tests::settings;

    #[test]
    fn each_row_is_a_program_and_is_written_down() {
        let written = written().unwrap();
        assert_eq!(written.len(), ROWS.len());
        for row in rows(&settings(1)) {
            assert!(!row.what.is_empty(), "{}", row.name);
            assert!(FIGURES.iter().all(|it| written[&row.name].contains_key(it.key)));
        }
    }

    #[test]
    fn what_has_moved_is_found() {
        let written = written().unwrap();
        assert_eq!(compare(&written, &written).1, 0);
        let mut measured = written.clone();
        let row = measured.get_mut("phases").unwrap();
        *row.get_mut("instructions").unwrap() += row["instructions"] / 10;
        *row.get_mut("peak_kib").unwrap() /= 2;
        let (text, moved) = compare(&measured, &written);
        assert_eq!((moved, text.matches("MOVED").count()), (2, 2));
        let new = BTreeMap::from([(String::from("instructions"), 1_000_000)]);
        measured.insert("new".to_owned(), new);
        assert_eq!(compare(&measured, &written).1, 3);
    }

    #[test]
    fn what_moves_once_has_not_moved() {
        let written = written().unwrap();
        let with = |row: &str, key: &str, factor: u64| {
            let mut figures = written.clone();
            *figures.get_mut(row).unwrap().get_mut(key).unwrap() *= factor;
            figures
        };
        let mut measured = with("phases", "calls", 9);
        assert_eq!(moved(&measured, &written), ["phases"]);
        // Another figure moves the second time, as noise does; what was not measured again stays.
        let mut again = with("phases", "faults", 2);
        again.retain(|row, _| row == "phases");
        take_nearer(&mut measured, &again, &written);
        assert_eq!(measured, written);
        // A change moves the same figure each time.
        let mut measured = with("phases", "calls", 3);
        take_nearer(&mut measured, &with("phases", "calls", 4), &written);
        assert_eq!(measured, with("phases", "calls", 3));
        assert_eq!(moved(&measured, &written), ["phases"]);
    }

    #[test]
    fn instructions_are_counted_on_the_allocator_of_the_program() {
        let contender = example("x", "/bin/true");
        let counted = counted(Path::new("valgrind"), &contender.run(&["y"]), Path::new("file"));
        let preloaded = |(name, value)| name == OsStr::new("A") && value == Some(OsStr::new("b"));
        assert!(counted.get_envs().any(preloaded), "{counted:?}");
        let last: Vec<_> = counted.get_args().skip(3).collect();
        assert_eq!(last, ["/bin/true", "y"]);
    }

    #[test]
    fn the_total_is_read() {
        assert_eq!(instructions("version: 1\nsummary: 17\ntotals: 1718\n"), Some(1718));
    }

    #[test]
    fn a_figure_moves_in_both_directions() {
        let [instructions, ..] = FIGURES;
        let then = 100_000_000;
        assert!(!instructions.has_moved(then + 2_000_000, then));
        assert!(instructions.has_moved(then + 2_200_000, then));
        assert!(instructions.has_moved(then - 2_200_000, then));
    }
}

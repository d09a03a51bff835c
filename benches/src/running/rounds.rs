//! The runner of all suites: interleaved rounds, in each of which every row
//! visits the allocators in a random order.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use benches::missing::{Missing, sift};
use benches::progress::Progress;

use super::strace;
use super::suite::{Row, Sample, Sampler, Settings, Suite, Visit};
use crate::allocators::Contender;
use crate::report::model::{Figure, FigureReport, Named, RowReport, SuiteReport};

/// Seeds the order of the allocators. Random, as in a fixed one, and in a rotated
/// one, each would always come after the same other.
const ORDER: u64 = 800;

/// One allocator in one row.
struct Series {
    /// By round; none where a round failed or was skipped.
    samples: Vec<Option<Sample>>,
    calls: Option<u64>,
    /// Why it was excluded.
    error: Option<String>,
}

/// A visit whose process is asleep.
struct Asleep {
    row: usize,
    contender: usize,
    round: usize,
    until: Instant,
    wake: Box<dyn FnOnce() -> Result<Sample>>,
}

/// The state of a suite that runs.
struct Rounds<'a> {
    rows: &'a [Row],
    contenders: &'a [Contender],
    /// By row and contender.
    table: Vec<Vec<Series>>,
    asleep: Vec<Asleep>,
    progress: &'a Progress,
}

impl Rounds<'_> {
    /// Notes the end of a visit. An allocator that fails on a row is excluded
    /// from it.
    fn note(&mut self, (row, contender, round): (usize, usize, usize), done: Result<Sample>) {
        let series = &mut self.table[row][contender];
        match done {
            Ok(sample) => series.samples[round] = Some(sample),
            Err(error) => {
                let error = format!("round {}: {error:#}", round + 1);
                let (row, contender) = (&self.rows[row], &self.contenders[contender]);
                self.progress.say(&format!("{} on {}: {error}", row.name, contender.name));
                series.error.get_or_insert(error);
            }
        }
        self.progress.step();
    }

    /// Waits for those that are asleep: for all, or for those that are done.
    fn wake(&mut self, all: bool) {
        let now = Instant::now();
        let (done, rest) =
            self.asleep.drain(..).partition(|asleep: &Asleep| all || asleep.until <= now);
        self.asleep = rest;
        for Asleep { row, contender, round, wake, .. } in done {
            self.note((row, contender, round), wake());
        }
    }

    fn visit(&mut self, sampler: &dyn Sampler, place: (usize, usize, usize)) {
        let (row, contender, round) = place;
        if self.table[row][contender].error.is_some() {
            self.progress.step();
            return;
        }
        match sampler.begin(&self.rows[row], &self.contenders[contender], round) {
            Ok(Visit::Over(sample)) => self.note(place, Ok(sample)),
            Ok(Visit::Asleep { until, wake }) => {
                self.asleep.push(Asleep { row, contender, round, until, wake });
            }
            Err(error) => self.note(place, Err(error)),
        }
        // Between two visits, so that the end of one does not disturb another.
        self.wake(false);
    }

    fn run(&mut self, sampler: &dyn Sampler, rounds: usize) {
        let mut rng = fastrand::Rng::with_seed(ORDER);
        let mut order: Vec<usize> = (0..self.contenders.len()).collect();
        let visits: usize = self.table.iter().flatten().map(|it| it.samples.len()).sum();
        self.progress.steps(visits as u64);
        for round in 0..rounds {
            for row in 0..self.rows.len() {
                if round >= sampler.rounds(&self.rows[row], rounds) {
                    continue;
                }
                let name = &self.rows[row].name;
                self.progress.now(&format!("round {} of {rounds}: {name}", round + 1));
                rng.shuffle(&mut order);
                for contender in &order {
                    self.visit(sampler, (row, *contender, round));
                }
                // Another row must not share the machine's memory with this one.
                if self.rows.len() > 1 {
                    self.wake(true);
                }
            }
        }
        self.wake(true);
        self.progress.finish();
    }
}

/// Runs the rows of a suite.
pub(crate) fn run(
    suite: &Suite,
    rows: Vec<Row>,
    contenders: &[Contender],
    settings: &Settings,
    mut missing: Vec<Missing>,
    progress: &Progress,
) -> Result<SuiteReport> {
    let mut sampler = (suite.start)(settings)?;
    let mut ready = Vec::new();
    for row in rows {
        let prepared = sampler.prepare(&row);
        if sift(prepared, &row.name, &mut missing, progress).is_some() {
            ready.push(row);
        }
    }
    let rounds = settings.amount.rounds;
    let series = |row: &Row, contender: &Contender| {
        let error = sampler.check(row, contender).err().map(|error| format!("{error:#}"));
        let samples = vec![None; sampler.rounds(row, rounds)];
        Series { samples, calls: None, error }
    };
    let table = ready.iter().map(|row| contenders.iter().map(|it| series(row, it)).collect());
    let table = table.collect();
    let mut state = Rounds { rows: &ready, contenders, table, asleep: Vec::new(), progress };
    state.run(sampler.as_ref(), rounds);
    if settings.calls {
        count(&mut state, sampler.as_ref(), settings);
    }
    let reports = ready.iter().zip(state.table);
    let named = |it: &Contender| Named { name: it.name.into(), version: it.version.clone() };
    let bounds = suite.mean_bounds.iter().map(|(group, bound)| ((*group).to_owned(), *bound));
    let name = match suite.interfaces {
        [_] => suite.name.to_owned(),
        _ => format!("{} {}", suite.name, settings.interface.label()),
    };
    Ok(SuiteReport {
        name,
        what: suite.what.to_owned(),
        settings: written(settings),
        allocators: contenders.iter().map(named).collect(),
        rows: reports.map(|(row, series)| report(row, contenders, series)).collect(),
        mean_bounds: bounds.collect(),
        missing,
        notes: sampler.notes(),
    })
}

fn written(settings: &Settings) -> BTreeMap<String, String> {
    let cpus: Vec<String> = settings.cpus.iter().map(ToString::to_string).collect();
    let mut written = BTreeMap::from([
        (String::from("interface"), settings.interface.label().to_owned()),
        (String::from("profile"), settings.profile.clone()),
        (String::from("rounds"), settings.amount.rounds.to_string()),
        (String::from("scale"), settings.amount.scale.to_string()),
        (String::from("seed"), ORDER.to_string()),
    ]);
    if !cpus.is_empty() {
        written.insert(String::from("processors"), cpus.join(" "));
    }
    written
}

/// Counts the system calls of what did not fail.
fn count(state: &mut Rounds<'_>, sampler: &dyn Sampler, settings: &Settings) {
    for (row, table) in state.rows.iter().zip(&mut state.table) {
        state.progress.now(&format!("counting system calls: {}", row.name));
        for (contender, series) in state.contenders.iter().zip(table) {
            let command = sampler.command(row, contender).filter(|_| series.error.is_none());
            match command.map(|command| strace::count(&command, &settings.dir)) {
                Some(Ok(calls)) => series.calls = Some(calls),
                Some(Err(error)) => series.error = Some(format!("{error:#}")),
                None => {}
            }
        }
    }
}

/// A row's figures, from the samples of all allocators.
fn report(row: &Row, contenders: &[Contender], mut series: Vec<Series>) -> RowReport {
    dissent(&mut series);
    let all = || contenders.iter().zip(&series);
    let good = || all().filter(|(_, series)| series.error.is_none());
    let samples = |n: usize| {
        let value = move |sample: &Option<Sample>| sample.as_ref().and_then(|it| it.values[n]);
        good().map(move |(it, series)| {
            (it.name.to_owned(), series.samples.iter().map(value).collect())
        })
    };
    let figures = row.figures.iter().enumerate();
    let mut figures: Vec<FigureReport> = figures
        .map(|(n, figure)| FigureReport::new(figure.clone(), samples(n).collect()))
        .collect();
    let calls: BTreeMap<String, Vec<Option<f64>>> = good()
        .filter_map(|(it, series)| Some((it.name.to_owned(), vec![Some(series.calls? as f64)])))
        .collect();
    if !calls.is_empty() {
        figures.push(FigureReport::new(Figure::less("system calls", "", 1.0), calls));
    }
    let errors = all().filter_map(|(it, series)| Some((it.name.to_owned(), series.error.clone()?)));
    RowReport {
        name: row.name.clone(),
        what: row.what.clone(),
        group: row.group.to_owned(),
        figures,
        errors: errors.collect(),
    }
}

/// Every allocator does the same work, so the result must be the same: one that
/// differs from that of most runs is an error.
fn dissent(series: &mut [Series]) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let samples = series.iter().flat_map(|series| series.samples.iter().flatten());
    for result in samples.filter_map(|sample| sample.result.as_deref()) {
        *seen.entry(result).or_default() += 1;
    }
    let Some(most) = seen.iter().max_by_key(|(_, count)| **count) else {
        return;
    };
    let most = (*most.0).to_owned();
    for series in series {
        let mut results = series.samples.iter().flatten().filter_map(|it| it.result.as_ref());
        if let Some(other) = results.find(|result| **result != most) {
            series.error = Some(format!("its output is {other:?}, not {most:?}"));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::path::PathBuf;
    use std::time::Duration;

    use anyhow::bail;

    use super::*;
    use crate::allocators::tests::example;
    use crate::allocators::{Interface, Program};
    use crate::running::suite::{Amount, every, everyone};

    /// Settings for programs that are not run.
    pub(crate) fn settings(rounds: usize) -> Settings {
        Settings {
            interface: Interface::Rust,
            amount: Amount { rounds, scale: 1.0 },
            quick: false,
            profile: String::from("release"),
            cpus: Vec::new(),
            calls: false,
            profiles: Vec::new(),
            servers: Vec::new(),
            runner: PathBuf::from("/bin/false"),
            dir: std::env::temp_dir(),
        }
    }

    fn row(name: &str) -> Row {
        let figures = vec![Figure::less("time", "s", 0.001)];
        Row { name: name.to_owned(), what: String::new(), group: "", figures }
    }

    /// Takes samples of 1 and 2 seconds; `broken` fails, `wrong` has another
    /// result, and `tired` sleeps. The row `long` is visited once.
    #[derive(Default)]
    struct Fake(RefCell<Vec<String>>);

    impl Sampler for Fake {
        fn prepare(&mut self, row: &Row) -> Result<()> {
            if row.name == "gone" { bail!("apt-get it") } else { Ok(()) }
        }

        fn check(&self, _row: &Row, contender: &Contender) -> Result<()> {
            if contender.name == "unbound" { bail!("bound to another") } else { Ok(()) }
        }

        fn rounds(&self, row: &Row, rounds: usize) -> usize {
            if row.name == "long" { 1 } else { rounds }
        }

        fn begin(&self, row: &Row, contender: &Contender, round: usize) -> Result<Visit> {
            self.0.borrow_mut().push(format!("{} {} {round}", row.name, contender.name));
            let (seconds, result) = match contender.name {
                "strata" => (1.0, "42"),
                "broken" => bail!("died"),
                "wrong" => (0.1, "41"),
                _ => (2.0, "42"),
            };
            let sample = Sample { values: vec![Some(seconds)], result: Some(result.to_owned()) };
            if contender.name != "tired" {
                return Ok(Visit::Over(sample));
            }
            let until = Instant::now() + Duration::from_secs(3600);
            Ok(Visit::Asleep { until, wake: Box::new(|| Ok(sample)) })
        }

        fn notes(&self) -> Vec<String> {
            self.0.borrow().clone()
        }
    }

    fn suite() -> Suite {
        Suite {
            name: "fake",
            what: "",
            program: Program::Subject,
            interfaces: &[Interface::C, Interface::Rust],
            allocators: everyone,
            rows: |_| Vec::new(),
            is_quick: every,
            full: Amount { rounds: 1, scale: 1.0 },
            quick: Amount { rounds: 1, scale: 1.0 },
            in_all: 1,
            mean_bounds: &[("", 0.9)],
            start: |_| Ok(Box::new(Fake::default())),
        }
    }

    fn report_of(names: &[&'static str], rows: &[&str]) -> SuiteReport {
        let contenders: Vec<Contender> =
            names.iter().map(|name| example(name, "/bin/false")).collect();
        let rows = rows.iter().map(|name| row(name)).collect();
        let progress = Progress::new();
        run(&suite(), rows, &contenders, &settings(4), Vec::new(), &progress).unwrap()
    }

    #[test]
    fn who_fails_or_comes_to_another_result_is_out_and_the_others_go_on() {
        let names = ["strata", "broken", "wrong", "unbound", "peer", "tired"];
        let report = report_of(&names, &["a", "gone", "b"]);
        assert_eq!(report.name, "fake rust");
        assert_eq!(report.rows.len(), 2);
        for row in &report.rows {
            assert_eq!(row.errors["broken"], "round 1: died");
            assert_eq!(row.errors["unbound"], "bound to another");
            assert!(row.errors["wrong"].contains("41"), "{:?}", row.errors);
            assert_eq!(row.errors.len(), 3);
            let time = &row.figures[0];
            assert_eq!(time.samples.len(), 3);
            assert_eq!(time.samples["tired"], [Some(2.0); 4]);
            assert!((time.ratio.as_ref().unwrap().estimate.value - 0.5).abs() < 1e-9);
        }
        assert_eq!(report.missing.len(), 1);
        assert_eq!(report.missing[0].error, "apt-get it");
        assert_eq!(report.means().len(), 1);
        assert_eq!(report.settings["rounds"], "4");
    }

    #[test]
    fn a_row_that_takes_long_has_fewer_rounds() {
        let report = report_of(&["strata", "peer"], &["long", "a"]);
        assert_eq!(report.notes.len(), 2 + 4 * 2);
        let rounds = |row: usize| report.rows[row].figures[0].rounds();
        assert_eq!((rounds(0), rounds(1)), (1, 4));
    }

    #[test]
    fn rounds_are_interleaved_and_visit_in_changing_orders() {
        let report = report_of(&["strata", "one", "two", "three"], &["a", "b"]);
        let visits = &report.notes;
        assert_eq!(visits.len(), 4 * 2 * 4);
        let mut orders = Vec::new();
        for (n, turn) in visits.chunks(4).enumerate() {
            let row = ["a", "b"][n % 2];
            let is_here = |it: &String| it.starts_with(row) && it.ends_with(&(n / 2).to_string());
            assert!(turn.iter().all(is_here), "{turn:?}");
            let order: Vec<_> = turn.iter().map(|it| it.split(' ').nth(1).unwrap()).collect();
            orders.push(order);
        }
        assert!(orders.iter().any(|order| *order != orders[0]), "{orders:?}");
    }
}

//! Two runs compared: what an allocator has won and lost from one to the other.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use benches::stats::{Estimate, geomean, median, quotient};
use benches::tables::{number, right, table};
use comfy_table::Cell;

use super::model::{Better, EVIDENCE, FigureReport, Run, SuiteReport};
use super::terminal::interval;

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Won,
    Lost,
    Same,
    /// Too few samples to tell.
    Hint,
}

impl Change {
    fn label(self) -> &'static str {
        match self {
            Change::Won => "won",
            Change::Lost => "LOST",
            Change::Same => "same",
            Change::Hint => "a hint",
        }
    }
}

/// One figure in both runs.
#[derive(Clone, Debug)]
struct Line {
    suite: String,
    row: String,
    figure: String,
    before: f64,
    after: f64,
    /// After to before: below 1 is better.
    ratio: Estimate,
    change: Change,
}

/// The figures that both runs have.
pub(crate) struct Comparison {
    heading: String,
    lines: Vec<Line>,
    /// What only one of the runs has.
    unmatched: Vec<String>,
    /// How the medians of the other allocators have changed, by suite.
    drift: Vec<String>,
}

/// Compares the figures of an allocator in two runs.
pub(crate) fn compare(before: &Run, after: &Run, allocator: &str) -> Result<Comparison> {
    let name = |run: &Run| run.commit.clone().unwrap_or_else(|| String::from("no commit"));
    let mut heading = format!("{allocator}: {} to {}", name(before), name(after));
    if before.machine != after.machine {
        heading += &format!("\nNOT THE SAME MACHINE:\n{}\n{}", before.machine, after.machine);
    }
    let (ours, theirs) = (figures(before), figures(after));
    let mut comparison =
        Comparison { heading, lines: Vec::new(), unmatched: Vec::new(), drift: Vec::new() };
    for (key, (_, before)) in &ours {
        match theirs.get(key) {
            Some((_, after)) => comparison.lines.extend(line(key, before, after, allocator)),
            None => comparison.unmatched.push(format!("only before: {}", key.join(", "))),
        }
    }
    let new = theirs.keys().filter(|key| !ours.contains_key(*key));
    comparison.unmatched.extend(new.map(|key| format!("only after: {}", key.join(", "))));
    ensure!(!comparison.lines.is_empty(), "the runs have no figure of {allocator} in common");
    let order = |line: &Line| ours[&key_of(&line.suite, &line.row, &line.figure)].0;
    comparison.lines.sort_by_key(order);
    let suites = before.suites.iter();
    comparison.drift = suites.flat_map(|suite| drift(suite, &ours, &theirs, allocator)).collect();
    Ok(comparison)
}

/// Suite, row and figure.
type Key = [String; 3];

fn key_of(suite: &str, row: &str, figure: &str) -> Key {
    [suite.to_owned(), row.to_owned(), figure.to_owned()]
}

/// Every figure that can be better and is no detail, with its place in the run.
fn figures(run: &Run) -> BTreeMap<Key, (usize, &FigureReport)> {
    let mut figures = BTreeMap::new();
    for suite in &run.suites {
        for row in &suite.rows {
            for figure in &row.figures {
                if figure.figure.better != Better::Neither && !figure.figure.detail {
                    let key = key_of(&suite.name, &row.name, &figure.figure.name);
                    figures.insert(key, (figures.len(), figure));
                }
            }
        }
    }
    figures
}

fn line(key: &Key, before: &FigureReport, after: &FigureReport, name: &str) -> Option<Line> {
    let figure = &before.figure;
    let comparable = |report: &FigureReport| -> Vec<f64> {
        report.values(name).into_iter().map(|value| figure.comparable(value)).collect()
    };
    let (then, now) = (comparable(before), comparable(after));
    let ratio = quotient(&now, &then)?;
    let change = match ratio {
        _ if then.len().min(now.len()) < EVIDENCE => Change::Hint,
        ratio if ratio.low > 1.0 => Change::Lost,
        ratio if ratio.high < 1.0 => Change::Won,
        _ => Change::Same,
    };
    let [suite, row, _] = key.clone();
    Some(Line {
        suite,
        row,
        figure: figure.name.clone(),
        before: median(&before.values(name)),
        after: median(&after.values(name)),
        ratio,
        change,
    })
}

/// How the other allocators have changed, which only the machine can have done.
fn drift(
    suite: &SuiteReport,
    before: &BTreeMap<Key, (usize, &FigureReport)>,
    after: &BTreeMap<Key, (usize, &FigureReport)>,
    allocator: &str,
) -> Option<String> {
    let mut ratios = Vec::new();
    let of_suite = before.iter().filter(|(key, _)| key[0] == suite.name);
    for (key, (_, before)) in of_suite {
        let Some((_, after)) = after.get(key) else { continue };
        for named in suite.allocators.iter().filter(|named| named.name != allocator) {
            let of = |report: &FigureReport| {
                report.median(&named.name).map(|value| before.figure.comparable(value))
            };
            ratios.extend(of(before).zip(of(after)).map(|(before, after)| after / before));
        }
    }
    let mean = geomean(&ratios);
    (!ratios.is_empty())
        .then(|| format!("{}: the other allocators, by the machine alone: {mean:.3}", suite.name))
}

impl Comparison {
    /// Whether a figure is lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.lines.iter().any(|line| line.change == Change::Lost)
    }

    /// The table.
    pub(crate) fn render(&self) -> String {
        let headings = ["suite", "row", "figure", "before", "after", "after / before", ""];
        let mut table = table(headings.map(String::from));
        for line in &self.lines {
            table.add_row([
                Cell::new(&line.suite),
                Cell::new(&line.row),
                Cell::new(&line.figure),
                right(number(line.before)),
                right(number(line.after)),
                right(interval(line.ratio)),
                Cell::new(line.change.label()),
            ]);
        }
        let count = |change| self.lines.iter().filter(|line| line.change == change).count();
        let mut text = format!(
            "{}\nratios with their 95 % intervals, below 1 is better, whatever the figure; the \
             rounds are not\npaired, so an interval leaves out how the machine has changed\n\
             {table}\n{} won, {} lost, {} same\n",
            self.heading,
            count(Change::Won),
            count(Change::Lost),
            count(Change::Same)
        );
        for line in self.drift.iter().chain(&self.unmatched) {
            text += &format!("{line}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use benches::preloaded::OURS;

    use super::*;
    use crate::report::model::Figure;
    use crate::report::model::tests::{example, figure};

    /// The example, with other times of ours in the row `slow`.
    fn with(times: &[f64]) -> Run {
        let mut run = example();
        let peers: [(&str, &[f64]); 3] =
            [(OURS, times), ("jemalloc", &[2.2; 4]), ("other", &[1.1; 4])];
        run.suites[0].rows[0].figures[0] = figure(Figure::less("time", "s", 0.001), &peers);
        run.commit = Some("def".into());
        run
    }

    fn change(after: &Run) -> Change {
        let comparison = compare(&example(), after, OURS).unwrap();
        let line = comparison.lines.iter().find(|it| it.row == "slow" && it.figure == "time");
        assert_eq!(comparison.has_lost(), line.unwrap().change == Change::Lost);
        line.unwrap().change
    }

    #[test]
    fn a_figure_is_won_or_lost_with_its_whole_interval() {
        assert_eq!(change(&with(&[1.0, 1.01, 1.0, 1.02])), Change::Won);
        assert_eq!(change(&with(&[1.3, 1.31, 1.3, 1.32])), Change::Lost);
        assert_eq!(change(&with(&[1.0, 1.4, 1.1, 1.3])), Change::Same);
        assert_eq!(change(&with(&[1.0])), Change::Hint);
    }

    #[test]
    fn more_is_better_where_it_is() {
        let rate = |values: &[f64]| {
            let mut run = example();
            let rate = figure(Figure::more("rate", "", 1.0), &[(OURS, values)]);
            run.suites[0].rows[0].figures = vec![rate];
            run.suites[0].rows.truncate(1);
            run
        };
        let comparison = compare(&rate(&[100.0; 4]), &rate(&[120.0; 4]), OURS).unwrap();
        assert_eq!(comparison.lines[0].change, Change::Won);
        assert_eq!((comparison.lines[0].before, comparison.lines[0].after), (100.0, 120.0));
    }

    #[test]
    fn the_table_says_what_changed_and_what_the_machine_did() {
        let mut after = with(&[1.3, 1.31, 1.3, 1.32]);
        after.suites[0].rows[1].name = "new".into();
        after.machine = "another".into();
        let text = compare(&example(), &after, OURS).unwrap().render();
        for part in [
            "strata: abc to def",
            "NOT THE SAME MACHINE",
            "LOST",
            "0 won, 1 lost, 1 same",
            "only before: suite, fast, time",
            "only after: suite, new, time",
            "suite: the other allocators, by the machine alone: 1.0",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn runs_that_have_nothing_in_common_are_an_error() {
        assert!(compare(&example(), &example(), "nobody").is_err());
    }
}

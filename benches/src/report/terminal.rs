//! The tables for the terminal.

use std::fmt::Write as _;

use benches::preloaded::OURS;
use benches::stats::Estimate;
use benches::tables::{number, right, table};
use comfy_table::{Cell, Table};

use super::model::{EVIDENCE, FigureReport, Mean, Outcome, RowReport, Run, SuiteReport};

/// All suites, one below the other.
pub(crate) fn render(run: &Run) -> String {
    let mut text = format!("\n{}\n", run.machine);
    if let Some(commit) = &run.commit {
        let _ = writeln!(text, "commit {commit}");
    }
    for suite in &run.suites {
        text.push_str(&render_suite(suite));
    }
    text
}

fn render_suite(suite: &SuiteReport) -> String {
    let mut text = format!("\n{}: {}\n", suite.name, suite.what);
    let settings = suite.settings.iter().map(|(name, value)| format!("{name} {value}"));
    let _ = writeln!(text, "{}", settings.collect::<Vec<_>>().join(", "));
    for named in &suite.allocators {
        let _ = writeln!(text, "{}: {}", named.name, named.version);
    }
    for note in &suite.notes {
        let _ = writeln!(text, "{note}");
    }
    if suite.rows.iter().any(|row| row.figures.iter().any(|figure| figure.rounds() > 1)) {
        text.push_str(
            "\nmedians ± half of the range; ratio: ours to the best peer, which was chosen on\n\
             other rounds, paired by round, with its 95 % interval; below 1 is better, whatever\n\
             the figure. LOST: the whole interval is above the bound; won: below 1; with fewer\n\
             than 4 rounds neither\n",
        );
    } else {
        text.push_str("\none round: a ratio is to the best of that round, and only a hint\n");
    }
    let _ = writeln!(text, "{}", figures(suite));
    for mean in suite.means() {
        let _ = writeln!(text, "{}", sentence(&mean));
    }
    for missing in &suite.missing {
        let _ = writeln!(text, "MISSING: {}: {}", missing.name, missing.error);
    }
    for failure in suite.failures() {
        let _ = writeln!(text, "FAILED: {failure}");
    }
    text
}

/// A line for each figure.
fn figures(suite: &SuiteReport) -> Table {
    let names = suite.allocators.iter().map(|named| named.name.as_str());
    let headings = ["row", "figure"].into_iter().chain(names).chain(["best peer", "ratio", ""]);
    let mut table = table(headings.map(String::from));
    for row in &suite.rows {
        let shown = row.figures.iter().filter(|figure| !figure.figure.detail);
        for (n, figure) in shown.enumerate() {
            let mut cells = vec![Cell::new(if n == 0 { &row.name } else { "" })];
            cells.push(Cell::new(label(figure)));
            cells.extend(suite.allocators.iter().map(|it| right(cell(row, figure, &it.name))));
            let peers = figure.ratio.as_ref().map(|ratio| ratio.peers.join(", "));
            cells.push(Cell::new(peers.unwrap_or_default()));
            cells.push(right(ratio(figure)));
            cells.push(Cell::new(mark(figure)));
            table.add_row(cells);
        }
    }
    table
}

/// The figure, and its target.
pub(crate) fn label(figure: &FigureReport) -> String {
    let label = figure.figure.label();
    match figure.figure.target {
        Some(target) => format!("{label} (target {})", number(target)),
        None => label,
    }
}

/// The median with its spread, and in how many of the rounds it happened, if not
/// in all.
pub(crate) fn cell(row: &RowReport, figure: &FigureReport, allocator: &str) -> String {
    if row.errors.contains_key(allocator) {
        return String::from("failed");
    }
    let (values, rounds) = (figure.values(allocator), figure.samples.get(allocator));
    match (figure.median(allocator), rounds) {
        (None, None) => String::from("–"),
        (None, Some(_)) => String::from("never"),
        (Some(median), rounds) => {
            let mut text = number(median);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let spread = 100.0 * (most - least) / 2.0 / median.abs();
            if values.len() > 1 && spread.is_finite() {
                let _ = write!(text, " ±{spread:.0}%");
            }
            match rounds.map_or(0, Vec::len) {
                rounds if rounds > values.len() => {
                    let _ = write!(text, " ({} of {rounds})", values.len());
                }
                _ => {}
            }
            text
        }
    }
}

/// With its interval, unless there is only one round.
pub(crate) fn ratio(figure: &FigureReport) -> String {
    match &figure.ratio {
        None => String::from("–"),
        Some(ratio) if figure.rounds() < 2 => format!("{:.3}", ratio.estimate.value),
        Some(ratio) => interval(ratio.estimate),
    }
}

/// A value with its interval.
pub(crate) fn interval(e: Estimate) -> String {
    format!("{:.3} [{:.3}, {:.3}]", e.value, e.low, e.high)
}

/// Ratios above this one are always marked.
const MARKED: f64 = 1.1;

/// What is to be said of a figure.
pub(crate) fn mark(figure: &FigureReport) -> String {
    let mut marks = Vec::new();
    let outcome = figure.outcome().label();
    if !outcome.is_empty() {
        marks.push(outcome.to_owned());
    }
    let high = |ratio: &super::model::Ratio| ratio.estimate.value > MARKED;
    if figure.rounds() >= EVIDENCE && figure.ratio.as_ref().is_some_and(high) {
        marks.push(format!("above {MARKED:.2}"));
    }
    if figure.outcome() == Outcome::Lost && figure.figure.bound != 1.0 {
        marks.push(format!("bound {:.2}", figure.figure.bound));
    }
    if figure.above() {
        marks.push(String::from("above target"));
    }
    marks.join(", ")
}

/// A mean in words.
pub(crate) fn sentence(mean: &Mean) -> String {
    let group = if mean.group.is_empty() { String::new() } else { format!("{}: ", mean.group) };
    let peer = mean.peer.as_deref().unwrap_or("the best peer");
    let bound = mean.bound.map_or(String::new(), |bound| {
        let met = if mean.estimate.low > bound { "LOST" } else { "not lost" };
        format!(", bound {bound:.2}: {met}")
    });
    let lost = if mean.lost.is_empty() { "none".to_owned() } else { mean.lost.join(", ") };
    format!(
        "{group}geometric mean of {}, {OURS} to {peer}: {} of {} rows of {}{bound}; lost: {lost}",
        mean.figure,
        interval(mean.estimate),
        mean.rows.0,
        mean.rows.1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Figure;
    use crate::report::model::tests::{example, figure};

    #[test]
    fn the_report_has_figures_ratios_marks_and_what_is_missing() {
        let text = render(&example());
        for part in [
            "a machine",
            "commit abc",
            "suite: what the suite measures",
            "rounds 4",
            "other: other 1",
            "a note",
            "1.200 [1.190, 1.210]",
            "LOST, above 1.10",
            "0.800 [0.800, 0.800]",
            "won",
            "peak, MiB (target 2.00)",
            "above target",
            "failed",
            "geometric mean of time, strata to the best peer: 0.980 [",
            "bound 0.85: LOST; lost: slow",
            "geometric mean of peak, strata to jemalloc: 1.500 [",
            "MISSING: gone: apt-get it",
            "FAILED: fast on broken: died <there>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn one_round_has_no_interval() {
        let mut run = example();
        let row = &mut run.suites[0].rows[0];
        row.figures = vec![figure(
            Figure::less("time", "s", 0.001),
            &[(OURS, &[2.5]), ("other", &[1.25]), ("jemalloc", &[f64::NAN])],
        )];
        run.suites[0].rows.truncate(1);
        let text = render(&run);
        assert!(
            text.contains(" 2.000 ") && !text.contains('[') && !text.contains("LOST"),
            "{text}"
        );
        assert!(text.contains("never") && text.contains("only a hint"), "{text}");
    }

    #[test]
    fn what_happened_in_some_rounds_says_so() {
        let run = example();
        let some = figure(Figure::less("x", "s", 0.1), &[(OURS, &[1.0, f64::NAN, 3.0])]);
        assert_eq!(cell(&run.suites[0].rows[0], &some, OURS), "2.00 ±50% (2 of 3)");
    }

    #[test]
    fn a_detail_is_left_out() {
        let mut run = example();
        run.suites[0].rows[0].figures[0].figure.detail = true;
        run.suites[0].rows[1].figures[0].figure.detail = true;
        assert!(!render(&run).contains("time, s"));
    }
}

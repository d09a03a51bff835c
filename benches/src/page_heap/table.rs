//! The report for the terminal.

use std::fmt::Write as _;
use std::iter::once;

use benches::pages::{ROWS, Row};
use benches::preloaded::OURS;
use benches::stats::Estimate;
use benches::tables::{number, right, table};
use comfy_table::{Cell, Table};

use crate::report::{FigureReport, Reading, Report, Series};

/// Three digits that count.
fn value(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 100.0) };
    number(value, digits)
}

/// The median, and in how many of the rounds it happened, if not in all.
fn cell(reading: &Reading, series: &Series) -> String {
    let runs = series.runs();
    match reading.median {
        _ if series.error.is_some() => String::from("failed"),
        None => String::from("never"),
        Some(median) if reading.times < runs => {
            format!("{} ({} of {runs})", value(median), reading.times)
        }
        Some(median) => value(median),
    }
}

/// With its interval, unless there is only one round.
fn ratio(ratio: Option<Estimate>, rounds: usize) -> String {
    match ratio {
        None => String::from("–"),
        Some(e) if rounds == 1 => format!("{:.2}", e.value),
        Some(e) => format!("{:.2} [{:.2}, {:.2}]", e.value, e.low, e.high),
    }
}

fn verdict(figure: &FigureReport, rounds: usize) -> &'static str {
    if rounds > 1 && figure.lost() { "LOST" } else { "" }
}

fn figures(report: &Report) -> Table {
    let names = report.allocators.iter().map(|allocator| allocator.name);
    let best = format!("{OURS} / best peer");
    let headings = ["row", "figure"].into_iter().chain(names).chain(["best peer", &best, ""]);
    let mut table = table(headings.map(String::from));
    for row in &report.rows {
        for (n, figure) in row.figures.iter().enumerate() {
            let mut cells = vec![Cell::new(if n == 0 { row.row } else { "" })];
            cells.push(Cell::new(figure.name));
            let readings = figure.readings.iter().zip(&row.series);
            cells.extend(readings.map(|(reading, series)| right(cell(reading, series))));
            cells.push(Cell::new(figure.peers.join(", ")));
            cells.push(right(ratio(figure.ratio, report.rounds)));
            cells.push(Cell::new(verdict(figure, report.rounds)));
            table.add_row(cells);
        }
    }
    table
}

/// A line for each row: what it does.
pub(crate) fn legend() -> String {
    let lines = ROWS.iter().map(|Row { name, what, .. }| format!("{name}: {what}\n"));
    lines.collect()
}

/// The complete output at the end of a run.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!(
        "\n{}\nscale {}, {} s of watching, {} rounds\n",
        report.machine, report.scale, report.watch_s, report.rounds
    );
    for allocator in &report.allocators {
        let unnamed = if allocator.name == OURS { "built from here" } else { "version unknown" };
        let version = allocator.version.as_deref().unwrap_or(unnamed);
        let _ = writeln!(text, "{}: {version}, {}", allocator.name, allocator.library.display());
    }
    let one = "the best of this one round, without an interval: only a hint";
    let more = "chosen on other rounds; LOST: the whole 95 % interval is above 1";
    let peers = if report.rounds == 1 { one } else { more };
    let lines = once(format!("\nmedians, less is better; the best peer is {peers}"));
    let never = "never: not within what was watched, or what should fail did not";
    for line in lines.chain([String::from(never), figures(report).to_string()]) {
        let _ = writeln!(text, "{line}");
    }
    for missing in &report.missing {
        let _ = writeln!(text, "MISSING: {}: {}", missing.name, missing.error);
    }
    for failure in report.failures() {
        let _ = writeln!(text, "FAILED: {failure}");
    }
    text
}

#[cfg(test)]
mod tests {
    use benches::missing::Missing;

    use super::*;
    use crate::report::tests::example;

    fn report(ours: &[Option<f64>], peer: &[Option<f64>]) -> String {
        render(&Report {
            machine: String::from("a machine"),
            scale: 1.0,
            watch_s: 3.0,
            rounds: ours.len(),
            allocators: Vec::new(),
            missing: vec![Missing { name: "gone".into(), error: "apt-get it".into() }],
            rows: vec![example(ours, peer)],
        })
    }

    #[test]
    fn the_report_has_figures_ratios_and_what_is_missing() {
        let text = report(&[Some(2.5); 4], &[None, Some(1.25), Some(1.25), Some(1.25)]);
        for part in [
            "stranded",
            "s until within",
            "2.50",
            "1.25 (3 of 4)",
            "2.00 [2.00, 2.00]",
            "LOST",
            "MISSING: gone: apt-get it",
            "FAILED: stranded on failed: died",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn one_round_has_no_interval() {
        let text = report(&[Some(2.5)], &[Some(1.25)]);
        assert!(text.contains(" 2.00 ") && !text.contains("2.00 [") && !text.contains("LOST"));
        assert!(report(&[Some(2.5)], &[None]).contains("never "));
    }

    #[test]
    fn three_digits_count() {
        assert_eq!([0.016, 9.99, 12.34, 1234.5].map(value), ["0.02", "9.99", "12.3", "1234"]);
        assert!(legend().contains("pairs: "));
    }
}

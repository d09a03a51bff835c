//! The report for the terminal.

use std::fmt::Write as _;
use std::iter::once;

use benches::preloaded::OURS;
use benches::probes::{Probe, Target};
use benches::tables::{number, right, table};
use comfy_table::{Cell, Table};

use crate::report::{Part, Report, RowReport, Series};

/// With its unit, unless that is MiB.
fn value(value: f64, unit: &str) -> String {
    match unit {
        "MiB" => number(value, 1),
        _ => format!("{} {unit}", number(value, 1)),
    }
}

/// The median, and below it the earlier readings.
fn cell(row: &RowReport, series: &Series) -> String {
    if series.error.is_some() {
        return String::from("failed");
    }
    let figure = series.figure.map_or(f64::NAN, |figure| figure.median);
    let mut text = value(figure, row.unit);
    for reading in series.readings.iter().rev().skip(1).rev() {
        let _ = write!(text, "\n{} {}", reading.name, number(reading.mib.median, 1));
    }
    text
}

/// Ours, its target and whether it is met, then the others.
fn figures(part: &Part, whole: bool) -> Table {
    let (ours, others): (Vec<_>, Vec<_>) =
        part.allocators.iter().map(|named| named.name).partition(|name| *name == OURS);
    let headings = once("probe").chain(ours).chain(["target", ""]).chain(others);
    let mut table = table(headings.map(String::from));
    for row in &part.rows {
        let (ours, others): (Vec<_>, Vec<_>) =
            row.series.iter().partition(|series| series.allocator == OURS);
        let text = |series: &Series| right(cell(row, series));
        let mut cells = vec![Cell::new(row.probe)];
        cells.extend(ours.into_iter().map(text));
        cells.push(right(value(row.target, row.unit)));
        cells.push(Cell::new(if whole && row.above() { "above" } else { "" }));
        cells.extend(others.into_iter().map(text));
        table.add_row(cells);
    }
    table
}

/// A line for each probe: what it does and when it reads.
pub(crate) fn legend<'a>(probes: impl IntoIterator<Item = &'a Probe>) -> String {
    let mut text = String::new();
    for probe in probes {
        let target = match probe.target {
            Target::Mib(target) => format!("{target} MiB"),
            Target::Percent(target) => format!("{target} %"),
        };
        let _ = writeln!(text, "{}: {}; target {target}", probe.name, probe.what);
    }
    text
}

/// The complete output at the end of a run.
pub(crate) fn render(report: &Report, legend: &str) -> String {
    let mut text = format!(
        "\n{}\nscale {}, {} s of sleep, {} rounds\n\n{legend}",
        report.machine, report.scale, report.idle_s, report.rounds
    );
    if !report.whole() {
        let _ = writeln!(text, "The targets apply to scale 1 only.");
    }
    for part in &report.parts {
        let table = figures(part, report.whole());
        let label = part.interface.label();
        let _ = writeln!(text, "\nresident memory, MiB, medians: {label}");
        for named in &part.allocators {
            if let Some(version) = &named.version {
                let _ = writeln!(text, "{}: {version}", named.name);
            }
        }
        let _ = writeln!(text, "{table}");
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
    use benches::probes::PROBES;

    use super::*;
    use crate::contenders::Interface;
    use crate::report::Named;
    use crate::report::tests::example;

    fn report(scale: f64) -> String {
        let named = |name| Named { name, version: None };
        let rows = vec![example("parked", &[&[204_800, 9216]]), example("holes", &[&[1000, 250]])];
        let part = Part {
            interface: Interface::Rust,
            allocators: vec![named(OURS), named("other")],
            rows,
        };
        let missing = vec![Missing { name: "gone".into(), error: "apt-get it".into() }];
        let (machine, idle_s) = (String::from("a machine"), 10.0);
        let report = Report { machine, scale, idle_s, rounds: 1, missing, parts: vec![part] };
        render(&report, &legend(PROBES))
    }

    #[test]
    fn the_report_has_targets_marks_and_what_is_missing() {
        let text = report(1.0);
        for part in [
            "9.0",
            "peak 200.0",
            "25.0 %",
            "35.0 %",
            "above",
            "MISSING: gone: apt-get it",
            "FAILED: parked on other: died",
            "20,000,000 blocks",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("above").count(), 1, "{text}");
    }

    #[test]
    fn targets_are_for_the_whole_counts() {
        let text = report(0.05);
        assert!(!text.contains("above") && text.contains("apply to scale 1 only"), "{text}");
    }
}

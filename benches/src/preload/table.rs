//! The report for the terminal.

use std::fmt::Write as _;

use benches::preloaded::{MEMORY, OURS};
use benches::stats::Estimate;
use benches::tables::{number, right, table};
use comfy_table::{Cell, Table};

use crate::report::{Report, RowReport, Series, peak, processor, seconds};

fn interval(estimate: Option<Estimate>) -> String {
    estimate
        .map_or(String::from("–"), |e| format!("{:.3} [{:.3}, {:.3}]", e.value, e.low, e.high))
}

fn verdict(row: &RowReport) -> &'static str {
    match (row.lost(), row.marked()) {
        (true, true) => "LOST, above 1.10",
        (true, false) => "LOST",
        (false, true) => "above 1.10",
        (false, false) => "",
    }
}

/// The median time, and below it our time relative to it.
fn time(row: &RowReport, series: &Series) -> String {
    if series.error.is_some() {
        return String::from("failed");
    }
    let mut text = number(series.median(seconds), 3);
    if let Some(ratio) = row.against(series.allocator) {
        let _ = write!(text, "\n{ratio:.2}");
    }
    text
}

fn times(report: &Report) -> Table {
    let names = report.allocators.iter().map(|allocator| allocator.name.to_owned());
    let ours = ["best peer", "strata / best peer", ""].map(String::from);
    let mut table = table(std::iter::once(String::from("row")).chain(names).chain(ours));
    for row in &report.rows {
        let mut cells = vec![Cell::new(row.row)];
        cells.extend(row.series.iter().map(|series| right(time(row, series))));
        cells.push(Cell::new(row.peers.join(", ")));
        cells.push(right(interval(row.ratio)));
        cells.push(Cell::new(verdict(row)));
        table.add_row(cells);
    }
    table
}

/// The medians of a figure, and our ratio.
fn medians(
    report: &Report,
    figure: impl Fn(&Series) -> String,
    heading: String,
    ratio: impl Fn(&RowReport) -> Option<Estimate>,
) -> Table {
    let names = report.allocators.iter().map(|allocator| allocator.name.to_owned());
    let mut table = table(std::iter::once(String::from("row")).chain(names).chain([heading]));
    for row in &report.rows {
        let mut cells = vec![Cell::new(row.row)];
        cells.extend(row.series.iter().map(|series| right(figure(series))));
        cells.push(right(interval(ratio(row))));
        table.add_row(cells);
    }
    table
}

/// The complete output at the end of a run.
pub(crate) fn render(report: &Report) -> String {
    let mut text =
        format!("\n{}\nscale {}, {} rounds\n", report.machine, report.scale, report.rounds);
    for allocator in &report.allocators {
        let unnamed = if allocator.name == OURS { "built from here" } else { "version unknown" };
        let version = allocator.version.as_deref().unwrap_or(unnamed);
        let _ = writeln!(text, "{}: {version}, {}", allocator.name, allocator.library.display());
    }
    let _ = writeln!(
        text,
        "\nseconds, medians (redis: processor time of the server); under a peer's: strata's\n\
         time as a multiple of it, paired by round. Peers for the last ratio were chosen on\n\
         other rounds; LOST: the whole 95 % interval is above 1\n{}",
        times(report)
    );
    let cpu = |series: &Series| number(series.median(processor), 3);
    let heading = format!("{OURS} / least of the peers");
    let table = medians(report, cpu, heading, |row| row.processor);
    let _ = writeln!(text, "\nprocessor seconds, user and system, medians\n{table}");
    let mib = |series: &Series| number(series.median(peak) / 1024.0, 1);
    let table = medians(report, mib, format!("{OURS} / {MEMORY}"), |row| row.memory);
    let _ = writeln!(text, "\npeak resident memory, MiB, medians\n{table}");
    let means = &report.means;
    let _ = writeln!(
        text,
        "\ngeometric mean of time to the best peer's: {}\n\
         geometric mean of processor time to the best peer's: {}\n\
         geometric mean of peak memory to {MEMORY}'s: {}",
        interval(means.time),
        interval(means.processor),
        interval(means.memory),
    );
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
    use super::*;
    use crate::report::Means;
    use crate::report::tests::example;
    use benches::missing::Missing;

    #[test]
    fn the_report_has_ratios_marks_and_what_is_missing() {
        let mut rows = vec![example("slow", [1.2; 4]), example("fast", [0.8; 4])];
        rows[1].series[2].error = Some(String::from("died"));
        let means = Means::of(&rows);
        let missing = vec![Missing { name: "gs".into(), error: "apt-get it".into() }];
        let text = render(&Report {
            machine: String::from("a machine"),
            scale: 1.0,
            rounds: 4,
            allocators: Vec::new(),
            missing,
            rows,
            means,
        });
        assert!(
            text.contains("1.200 [1.200, 1.200]") && text.contains("LOST, above 1.10"),
            "{text}"
        );
        assert!(text.contains("0.800 [0.800, 0.800]") && text.contains("1.5"), "{text}");
        assert!(text.contains("MISSING: gs: apt-get it"), "{text}");
        assert!(text.contains("FAILED: fast on other: died"), "{text}");
        assert!(text.contains("time to the best peer's: 0.980 ["), "{text}");
    }
}

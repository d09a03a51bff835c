//! The report for the terminal.

use std::fmt::Write;

use benches::stats::{Verdict, median};
use benches::tables::{right, table};
use comfy_table::Cell;

use crate::report::{Judged, Report, Series};

/// Nanoseconds with three digits and a suitable unit.
fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, ""),
        ns if ns < 1e6 => (ns / 1e3, " µs"),
        ns => (ns / 1e6, " ms"),
    };
    let digits = match value {
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

/// KiB as MiB.
fn mib(kib: f64) -> String {
    let mib = kib / 1024.0;
    let digits = usize::from(mib < 100.0);
    format!("{mib:.digits$} MiB")
}

fn cell(series: &Series) -> String {
    let ns = series.values(|s| s.ns);
    let mut text = if ns.is_empty() {
        String::from("–")
    } else {
        let low = ns.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ns.iter().copied().fold(0.0, f64::max);
        format!(
            "{}\n{}..{}\n{}",
            time(median(&ns)),
            time(low),
            time(high),
            mib(median(&series.values(|s| s.rss_kib as f64))),
        )
    };
    if series.error.is_some() {
        text.push_str("\nfailed");
    }
    text
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Open => "open",
        Verdict::Lost => "LOST",
    }
}

fn ratio(judged: &Judged) -> String {
    let e = judged.estimate;
    format!("{:.3} [{:.3}, {:.3}]", e.value, e.low, e.high)
}

/// The complete output at the end of a run.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!(
        "\n{}\nprofile {}, scale {}, {} rounds\n\n\
         ns per operation: median, lowest..highest, resident memory\n",
        report.machine, report.profile, report.scale, report.rounds,
    );
    let names = report.rows.first().map_or(&[][..], |row| &row.series);
    let names = names.iter().map(|series| series.allocator.as_str());
    let mut figures = table(std::iter::once("row").chain(names).map(String::from));
    for row in &report.rows {
        let cells = row.series.iter().map(|series| right(cell(series)));
        figures.add_row(std::iter::once(Cell::new(row.row)).chain(cells));
    }
    let _ = writeln!(text, "{figures}");

    if !report.sets.is_empty() {
        let _ = writeln!(
            text,
            "\nratio to the best peer, paired by round: median [95 % interval]; lost with the\n\
             whole interval above the bound; peers chosen on other rounds than compared on"
        );
        let mut ratios = table(["row", "best peer", "ratio", "bound", ""].map(String::from));
        for row in &report.rows {
            let peers = row.peers.join(", ");
            if let Some(judged) = &row.ratio {
                ratios.add_row([
                    row.row,
                    &peers,
                    &ratio(judged),
                    &format!("{:.2}", judged.bound),
                    verdict(judged.verdict),
                ]);
            }
        }
        let _ = writeln!(text, "{ratios}");
    }
    for set in &report.sets {
        let _ = writeln!(
            text,
            "{}: geometric mean {} of {} rows of {}, bound {:.2}: {}; rows lost: {}",
            set.set,
            ratio(&set.ratio),
            set.rows,
            set.of,
            set.ratio.bound,
            verdict(set.ratio.verdict),
            if set.lost.is_empty() { String::from("none") } else { set.lost.join(", ") },
        );
    }
    for unbuilt in &report.unbuilt {
        let _ = writeln!(text, "{} did not build: {}", unbuilt.allocator, unbuilt.error);
    }
    for row in &report.rows {
        for series in &row.series {
            if let Some(error) = &series.error {
                let _ = writeln!(text, "{} on {}: {error}", row.row, series.allocator);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        assert_eq!(time(1.234), "1.23");
        assert_eq!(time(12.34), "12.3");
        assert_eq!(time(123.4), "123");
        assert_eq!(time(51_283.0), "51.3 µs");
        assert_eq!(time(6_484_571.0), "6.48 ms");
    }

    #[test]
    fn memory_is_in_mib() {
        assert_eq!(mib(1536.0), "1.5 MiB");
        assert_eq!(mib(204_800.0), "200 MiB");
    }
}

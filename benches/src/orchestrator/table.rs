//! The tables for the terminal.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

use crate::orchestrator::figures::{METRICS, Report, write};
use crate::orchestrator::stats::Spread;

/// Both tables with headings and notes.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!("\n{}\n{}\n", report.machine, report.conditions());
    if let Some(footprint) = &report.footprint {
        let _ = writeln!(text, "{footprint}");
    }
    let _ = writeln!(text, "\nmedian ± half of the range over the rounds");
    let _ = writeln!(text, "{}", figures(report));
    for contender in &report.contenders {
        if let Some(error) = &contender.error {
            let _ = writeln!(text, "{}: {error}", contender.name);
        }
    }
    let _ = writeln!(
        text,
        "\nratio to the best peer, paired by round: median (lowest–highest)\n\
         requests/s: above 1 is better; all others: below 1 is better"
    );
    let _ = writeln!(text, "{}", ratios(report));
    text
}

fn table(headings: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(headings);
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn figures(report: &Report) -> Table {
    let headings = METRICS.iter().map(|metric| metric.title.to_owned());
    let mut table = table(std::iter::once("allocator".to_owned()).chain(headings));
    for contender in report.measured() {
        let name = match &contender.version {
            Some(version) => format!("{}\n{version}", contender.name),
            None => contender.name.clone(),
        };
        let mut row = vec![Cell::new(name)];
        row.extend(METRICS.iter().map(|metric| match contender.spread(metric) {
            Some(spread) => right(format!(
                "{}\n± {:.1} %",
                write(spread.median, metric.unit),
                spread.half_range() * 100.0
            )),
            None => right(String::from("–")),
        }));
        table.add_row(row);
    }
    table
}

fn ratios(report: &Report) -> Table {
    let contested = || METRICS.iter().filter(|metric| metric.higher_is_better.is_some());
    let headings = contested().map(|metric| match report.best_peer(metric) {
        Some(peer) => format!("{}\n/ {}", metric.title, peer.name),
        None => metric.title.to_owned(),
    });
    let mut table = table(std::iter::once("allocator".to_owned()).chain(headings));
    for contender in report.measured() {
        let mut row = vec![Cell::new(&contender.name)];
        row.extend(contested().map(|metric| {
            right(report.ratio(contender, metric).as_ref().map_or("–".to_owned(), ratio))
        }));
        table.add_row(row);
    }
    table
}

fn ratio(spread: &Spread) -> String {
    format!("{:.3}\n({:.2}–{:.2})", spread.median, spread.min, spread.max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::figures::tests::example;

    #[test]
    fn the_tables_have_every_allocator_its_figures_and_its_failure() {
        let text = render(&example());
        assert!(text.contains("a request allocates 346 blocks"), "{text}");
        assert!(text.contains("50 % of them"), "{text}");
        assert!(text.contains("1650") && text.contains("± 33.3 %"), "{text}");
        assert!(text.contains("1.100") && text.contains("(1.10–1.10)"), "{text}");
        assert!(text.contains("/ fast") && text.contains("/ small"), "{text}");
        assert!(text.contains("broken: did not build: no <compiler>"), "{text}");
    }
}

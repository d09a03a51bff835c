//! The page: all suites with their plots in one self-contained HTML file.

use std::fmt::Write as _;

use anyhow::Result;

use super::model::{FigureReport, Outcome, Run, SuiteReport};
use super::plots;
use super::terminal::{cell, label, mark, ratio, sentence};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;\
padding:0 1em;color:#222;background:#fff}:root{color-scheme:light}li{overflow-wrap:anywhere}\
svg{max-width:100%;height:auto}div{overflow:auto;max-height:85vh}\
th{position:sticky;top:0;background:#fff;box-shadow:0 1px #888}tbody tr:first-child td{border-top:2px solid #999}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}\
th,td{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}\
.lost{color:#d55e00;font-weight:bold}.won{color:#0072b2}.detail{color:#666}";

/// The page of a run.
pub(crate) fn render(run: &Run) -> Result<String> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Allocators compared</title><style>{STYLE}</style></head>\n\
         <body>\n<h1>Allocators compared</h1>\n<p>{}",
        escape(&run.machine)
    );
    if let Some(commit) = &run.commit {
        let _ = write!(page, "<br>commit {}", escape(commit));
    }
    page.push_str(
        "</p>\n<p>Medians ± half of the range over the rounds. The ratio is that of ours to the \
         best peer, which was chosen on other rounds, paired by round, with its 95 % interval; \
         below 1 is better, whatever the figure.</p>\n",
    );
    contents(&mut page, run);
    for suite in &run.suites {
        section(&mut page, suite)?;
    }
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

/// A line for each suite, if there are several: a link, and what it comes to, without the
/// details.
fn contents(page: &mut String, run: &Run) {
    if run.suites.len() < 2 {
        return;
    }
    page.push_str("<ul>\n");
    for suite in &run.suites {
        let figures = suite.rows.iter().flat_map(|row| &row.figures);
        let figures: Vec<_> = figures.filter(|it| !it.figure.detail).collect();
        let count = |outcome| figures.iter().filter(|it| it.outcome() == outcome).count();
        let (lost, won) = (count(Outcome::Lost), count(Outcome::Won));
        let name = escape(&suite.name);
        let rows = suite.rows.len();
        let _ = writeln!(
            page,
            "<li><a href=\"#{name}\">{name}</a>: {rows} rows; figures won {won}, lost {lost}</li>"
        );
    }
    page.push_str("</ul>\n");
}

fn section(page: &mut String, suite: &SuiteReport) -> Result<()> {
    let settings = suite.settings.iter().map(|(name, value)| format!("{name} {value}"));
    let settings = settings.collect::<Vec<_>>().join(", ");
    let _ = writeln!(page, "<h2 id=\"{0}\">{0}</h2>", escape(&suite.name));
    let _ = writeln!(page, "<p>{}<br>{}</p>", escape(&suite.what), escape(&settings));
    list(page, suite.allocators.iter().map(|it| format!("{}: {}", it.name, it.version)));
    list(page, suite.notes.iter().cloned());
    for plot in plots::of(suite)? {
        let _ = writeln!(page, "{}", plot.trim());
    }
    table(page, suite);
    list(page, suite.means().iter().map(sentence));
    list(page, suite.missing.iter().map(|it| format!("MISSING: {}: {}", it.name, it.error)));
    list(page, suite.failures().map(|it| format!("FAILED: {it}")));
    Ok(())
}

fn list(page: &mut String, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.map(|line| format!("<li>{}</li>", escape(&line))).collect();
    if !lines.is_empty() {
        let _ = writeln!(page, "<ul>\n{}\n</ul>", lines.join("\n"));
    }
}

fn table(page: &mut String, suite: &SuiteReport) {
    page.push_str("<div><table>\n<thead><tr><th>row</th><th>figure</th>");
    for named in &suite.allocators {
        let _ = write!(page, "<th>{}</th>", escape(&named.name));
    }
    page.push_str("<th>best peer</th><th>ratio</th><th></th></tr></thead>\n");
    for row in &suite.rows {
        page.push_str("<tbody>\n");
        for (n, figure) in row.figures.iter().enumerate() {
            let first = if n == 0 { escape(&row.name) } else { String::new() };
            let _ = write!(
                page,
                "<tr class=\"{}\"><td title=\"{}\">{first}</td><td>{}</td>",
                class(figure),
                escape(&row.what),
                escape(&label(figure))
            );
            for named in &suite.allocators {
                let _ = write!(page, "<td>{}</td>", escape(&cell(row, figure, &named.name)));
            }
            let peers = figure.ratio.as_ref().map(|ratio| ratio.peers.join(", "));
            let _ = writeln!(
                page,
                "<td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&peers.unwrap_or_default()),
                escape(&ratio(figure)),
                escape(&mark(figure))
            );
        }
        page.push_str("</tbody>\n");
    }
    page.push_str("</table></div>\n");
}

fn class(figure: &FigureReport) -> &'static str {
    match figure.outcome() {
        _ if figure.figure.detail => "detail",
        Outcome::Lost => "lost",
        Outcome::Won => "won",
        Outcome::Open => "",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::tests::example;

    #[test]
    fn the_page_holds_the_plots_the_figures_and_the_failures() {
        let page = render(&example()).unwrap();
        assert_eq!(page.matches("<svg").count(), 2);
        for part in [
            "commit abc",
            "<tr class=\"lost\"><td title=\"what slow does\">slow</td><td>time, s</td>",
            "<td>1.200 [1.190, 1.210]</td><td>LOST, above 1.10</td>",
            "<tr class=\"won\">",
            "<li>MISSING: gone: apt-get it</li>",
            "died &lt;there&gt;",
            "geometric mean of time",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        for tag in ["table", "tbody", "tr", "ul", "li", "p", "svg"] {
            let open = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(!page.contains("http://") || page.contains("xmlns"), "it stands alone");
    }
}

//! The page: the chart and the figures in one self-contained HTML file.

use std::fmt::Write as _;

use crate::orchestrator::figures::{METRICS, Report, write};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;\
padding:0 1em;color:#222}svg{max-width:100%;height:auto}div{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.3em .7em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}small{color:#666;display:block}\
td.wide{text-align:left;white-space:normal}";

/// The page around `svg`.
pub(crate) fn render(report: &Report, svg: &str) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Strata: one server, several allocators</title><style>{STYLE}</style></head>\n\
         <body>\n<h1>One server, several allocators</h1>\n<p>{}<br>{}",
        escape(&report.machine),
        escape(&report.conditions())
    );
    if let Some(footprint) = &report.footprint {
        let _ = write!(page, "<br>{}", escape(&footprint.to_string()));
    }
    let _ = writeln!(page, "</p>\n{}", svg.trim());
    figures(&mut page, report);
    ratios(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
}

fn figures(page: &mut String, report: &Report) {
    page.push_str("<h2>Figures</h2>\n<p>Median over the rounds; lowest–highest below.</p>\n");
    open_table(page, METRICS.iter().map(|metric| escape(metric.title)));
    for contender in &report.contenders {
        let version = contender.version.as_deref().unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}<small>{}</small></td>",
            escape(&contender.name),
            escape(version)
        );
        if contender.samples.is_empty() {
            let error = contender.error.as_deref().unwrap_or("not measured");
            let _ = write!(
                page,
                "<td class=\"wide\" colspan=\"{}\">{}</td>",
                METRICS.len(),
                escape(error)
            );
        } else {
            for metric in &METRICS {
                let cell = contender.spread(metric).map_or_else(String::new, |spread| {
                    let figure = |value| write(value, metric.unit);
                    format!(
                        "{}<small>{}–{}</small>",
                        figure(spread.median),
                        figure(spread.min),
                        figure(spread.max)
                    )
                });
                let _ = write!(page, "<td>{cell}</td>");
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
    for contender in report.measured() {
        if let Some(error) = &contender.error {
            let _ = writeln!(page, "<p>{}: {}</p>", escape(&contender.name), escape(error));
        }
    }
}

fn ratios(page: &mut String, report: &Report) {
    page.push_str(
        "<h2>Ratio to the best peer</h2>\n<p>Paired by round: median; lowest–highest below. Above \
         1 is better for requests/s, below 1 for all others.</p>\n",
    );
    let contested = || METRICS.iter().filter(|metric| metric.higher_is_better.is_some());
    open_table(
        page,
        contested().map(|metric| {
            let peer = report.best_peer(metric).map_or("no peer", |peer| peer.name.as_str());
            format!("{}<small>to {}</small>", escape(metric.title), escape(peer))
        }),
    );
    for contender in report.measured() {
        let _ = write!(page, "<tr><td>{}</td>", escape(&contender.name));
        for metric in contested() {
            let cell = report.ratio(contender, metric).map_or_else(
                || String::from("–"),
                |ratio| {
                    format!("{:.3}<small>{:.2}–{:.2}</small>", ratio.median, ratio.min, ratio.max)
                },
            );
            let _ = write!(page, "<td>{cell}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div>\n");
}

fn open_table(page: &mut String, headings: impl Iterator<Item = String>) {
    page.push_str("<div><table>\n<tr><th>allocator</th>");
    for heading in headings {
        let _ = write!(page, "<th>{heading}</th>");
    }
    page.push_str("</tr>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::figures::tests::example;

    #[test]
    fn the_page_holds_the_chart_the_figures_and_the_failures() {
        let page = render(&example(), "<svg>chart</svg>");
        assert!(page.contains("<svg>chart</svg>"));
        assert!(page.contains("<td>1650<small>1100–2200</small></td>"), "{page}");
        assert!(page.contains("1.100<small>1.10–1.10</small>"), "{page}");
        assert!(page.contains("did not build: no &lt;compiler&gt;"), "{page}");
        assert_eq!(page.matches("<table>").count(), page.matches("</table>").count());
        assert_eq!(page.matches("<tr>").count(), page.matches("</tr>").count());
    }
}

//! The chart: a panel for each figure, a bar for each allocator, a whisker from
//! the lowest to the highest round.

use anyhow::{Result, anyhow};
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE};

use crate::orchestrator::cli::OURS;
use crate::orchestrator::figures::{METRICS, Metric, Report, write};
use crate::orchestrator::stats::Spread;

const KEYS: [&str; 6] = [
    "requests_per_s",
    "cpu_s_per_million",
    "p99_us",
    "p999_us",
    "peak_rss_bytes",
    "idle_rss_bytes",
];
const WIDTH: u32 = 960;
/// Heights in pixels.
const HEAD: i32 = 36;
const ROW: i32 = 26;
const GAP: i32 = 16;
/// Margins for the names on the left and for the figures on the right.
const NAMES: i32 = 92;
const FIGURES: i32 = 92;

const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(110, 110, 110);
const OUR_BAR: RGBColor = RGBColor(0, 114, 178);
const PEER_BAR: RGBColor = RGBColor(178, 186, 194);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The chart as the text of an SVG file.
pub(crate) fn draw(report: &Report) -> Result<String> {
    let rows = report.measured().count() as i32;
    let panel = HEAD + rows * ROW + GAP;
    let lines = KEYS.len().div_ceil(2);
    let mut svg = String::new();
    {
        let height = (panel * lines as i32 + GAP) as u32;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let metrics = METRICS.iter().filter(|metric| KEYS.contains(&metric.key));
        let places = KEYS.iter().filter_map(|key| metrics.clone().find(|m| m.key == *key));
        for (area, metric) in root.split_evenly((lines, 2)).iter().zip(places) {
            draw_panel(area, report, metric)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("drawing the chart: {error}")
}

fn draw_panel(area: &Area<'_>, report: &Report, metric: &Metric) -> Result<()> {
    let bars: Vec<(&str, Spread)> = report
        .measured()
        .filter_map(|contender| Some((contender.name.as_str(), contender.spread(metric)?)))
        .collect();
    let most = bars.iter().map(|(_, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(area.dim_in_pixel().0 as i32 - NAMES - FIGURES);
    let at = |value: f64| NAMES + (value / most * room) as i32;

    let better = match metric.higher_is_better {
        Some(true) => "higher is better",
        _ => "lower is better",
    };
    text(area, &format!("{}: {better}", metric.title), (NAMES, 20), 18, INK, HPos::Left)?;
    for ((name, spread), row) in bars.iter().zip(0..) {
        let top = HEAD + row * ROW;
        let middle = top + ROW / 2;
        let colour = if *name == OURS { OUR_BAR } else { PEER_BAR };
        let bar = [(NAMES, top + 4), (at(spread.median), top + ROW - 4)];
        area.draw(&Rectangle::new(bar, colour.filled())).map_err(failed)?;
        let whisker: ShapeStyle = INK.stroke_width(1);
        let (low, high) = (at(spread.min), at(spread.max));
        for line in [
            [(low, middle), (high, middle)],
            [(low, middle - 4), (low, middle + 4)],
            [(high, middle - 4), (high, middle + 4)],
        ] {
            area.draw(&PathElement::new(line, whisker)).map_err(failed)?;
        }
        text(area, name, (NAMES - 8, middle), 16, INK, HPos::Right)?;
        let figure = write(spread.median, metric.unit);
        text(area, &figure, (high + 8, middle), 16, FAINT, HPos::Left)?;
    }
    Ok(())
}

fn text(
    area: &Area<'_>,
    words: &str,
    place: (i32, i32),
    size: i32,
    colour: RGBColor,
    side: HPos,
) -> Result<()> {
    let style = TextStyle::from(("sans-serif", size).into_font())
        .color(&colour)
        .pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(words, place, style)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::figures::tests::example;

    #[test]
    fn each_measured_allocator_has_a_bar_in_each_panel() {
        let svg = draw(&example()).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("#0072B2").count(), KEYS.len());
        assert_eq!(svg.matches("#B2BAC2").count(), 2 * KEYS.len());
        assert!(svg.contains("requests/s: higher is better"));
        assert!(!svg.contains("broken"));
    }

    #[test]
    fn a_report_without_measurements_is_drawn_empty() {
        let mut report = example();
        report.contenders.iter_mut().for_each(|contender| contender.samples.clear());
        assert!(draw(&report).unwrap().contains("</svg>"));
    }
}

//! Plots as SVG: bars for the figures of one row, and ratios with their intervals
//! for a figure over many rows.

use anyhow::{Result, anyhow};
use benches::preloaded::OURS;
use benches::stats::median;
use benches::tables::number;
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE};

use super::model::{Better, FigureReport, Outcome, Ratio, RowReport, SuiteReport};

const WIDTH: i32 = 960;
/// Heights in pixels.
const HEAD: i32 = 36;
const LINE: i32 = 26;
const GAP: i32 = 16;
/// Margins for the names on the left and for the figures on the right.
const NAMES: i32 = 92;
const FIGURES: i32 = 92;
/// The same of a plot of ratios, whose rows have longer names.
const ROWS: i32 = 180;
const INTERVALS: i32 = 180;
/// Ratios beyond these are drawn at the edge.
const LEAST: f64 = 0.125;
const MOST: f64 = 8.0;

const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(110, 110, 110);
const OURS_COLOUR: RGBColor = RGBColor(0, 114, 178);
const PEERS_COLOUR: RGBColor = RGBColor(178, 186, 194);
const LOST_COLOUR: RGBColor = RGBColor(213, 94, 0);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The plots of a suite: of one row its figures, of more their ratios.
pub(crate) fn of(suite: &SuiteReport) -> Result<Vec<String>> {
    if let [row] = &suite.rows[..] {
        return Ok(vec![bars(row)?]);
    }
    let mut names: Vec<&str> = Vec::new();
    let shown = suite.rows.iter().flat_map(|row| &row.figures).filter(|it| is_compared(it));
    for figure in shown.filter(|it| it.ratio.is_some()) {
        if !names.contains(&figure.figure.name.as_str()) {
            names.push(&figure.figure.name);
        }
    }
    names.into_iter().map(|name| ratios(suite, name)).collect()
}

fn is_compared(figure: &FigureReport) -> bool {
    figure.figure.better != Better::Neither && !figure.figure.detail
}

fn failed<E: std::fmt::Display>(error: E) -> anyhow::Error {
    anyhow!("drawing: {error}")
}

/// An SVG of this height.
fn drawn(height: i32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let size = (WIDTH as u32, height as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        draw(&root)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// A panel for each figure, a bar for each allocator, a whisker from the lowest
/// to the highest round.
fn bars(row: &RowReport) -> Result<String> {
    let figures: Vec<&FigureReport> = row.figures.iter().filter(|it| is_compared(it)).collect();
    let most = figures.iter().map(|it| it.samples.len()).max().unwrap_or(0) as i32;
    let panel = HEAD + most * LINE + GAP;
    let lines = figures.len().div_ceil(2).max(1);
    drawn(panel * lines as i32 + GAP, |root| {
        for (area, figure) in root.split_evenly((lines, 2)).iter().zip(figures) {
            bar_panel(area, figure)?;
        }
        Ok(())
    })
}

fn bar_panel(area: &Area<'_>, figure: &FigureReport) -> Result<()> {
    let values = figure.samples.keys().map(|name| (name.as_str(), figure.values(name)));
    let mut bars: Vec<(&str, Vec<f64>)> = values.filter(|(_, it)| !it.is_empty()).collect();
    bars.sort_by_key(|(name, _)| *name != OURS);
    let highest = |values: &[f64]| values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let lowest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = bars.iter().map(|(_, values)| highest(values)).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(area.dim_in_pixel().0 as i32 - NAMES - FIGURES);
    let at = |value: f64| NAMES + (value / most * room) as i32;
    let better = match figure.figure.better {
        Better::More => "higher is better",
        _ => "lower is better",
    };
    let title = format!("{}: {better}", figure.figure.label());
    text(area, &title, (NAMES, 20), 18, INK, HPos::Left)?;
    for ((name, values), line) in bars.iter().zip(0..) {
        let top = HEAD + line * LINE;
        let middle = top + LINE / 2;
        let colour = if *name == OURS { OURS_COLOUR } else { PEERS_COLOUR };
        let bar = [(NAMES, top + 4), (at(median(values)), top + LINE - 4)];
        area.draw(&Rectangle::new(bar, colour.filled())).map_err(failed)?;
        whisker(area, (at(lowest(values)), at(highest(values))), middle, INK)?;
        text(area, name, (NAMES - 8, middle), 16, INK, HPos::Right)?;
        let place = (at(highest(values)) + 8, middle);
        text(area, &number(median(values)), place, 16, FAINT, HPos::Left)?;
    }
    Ok(())
}

/// A line for each row that has the figure: the ratio and its interval.
fn ratios(suite: &SuiteReport, name: &str) -> Result<String> {
    let of = |row: &'_ RowReport| {
        let figure = row.figures.iter().find(|it| it.figure.name == name && is_compared(it))?;
        Some((row.name.clone(), figure.outcome(), figure.ratio.clone()?))
    };
    let lines: Vec<(String, Outcome, Ratio)> = suite.rows.iter().filter_map(of).collect();
    let within = |value: f64| value.clamp(LEAST, MOST);
    let ends = lines.iter().flat_map(|(_, _, it)| [it.estimate.low, it.estimate.high]);
    let (low, high) = ends
        .map(within)
        .fold((0.5, 2.0), |(low, high): (f64, f64), end| (low.min(end), high.max(end)));
    let room = f64::from(WIDTH - ROWS - INTERVALS);
    let at = |ratio: f64| {
        let share = (within(ratio).ln() - low.ln()) / (high.ln() - low.ln());
        ROWS + (share * room) as i32
    };
    let bottom = HEAD + lines.len() as i32 * LINE;
    drawn(bottom + LINE + GAP, |area| {
        let title = format!("{name}: {OURS} to the best peer, left of 1 is better");
        text(area, &title, (ROWS, 16), 18, INK, HPos::Left)?;
        for tick in [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0] {
            if tick < low || tick > high {
                continue;
            }
            let colour = if tick == 1.0 { INK } else { PEERS_COLOUR };
            let line = [(at(tick), HEAD), (at(tick), bottom)];
            area.draw(&PathElement::new(line, colour.stroke_width(1))).map_err(failed)?;
            let place = (at(tick) - 4, bottom + LINE / 2);
            text(area, &tick.to_string(), place, 14, FAINT, HPos::Left)?;
        }
        for ((row, outcome, ratio), line) in lines.iter().zip(0..) {
            let middle = HEAD + line * LINE + LINE / 2;
            let colour = match outcome {
                Outcome::Lost => LOST_COLOUR,
                Outcome::Won => OURS_COLOUR,
                Outcome::Open => FAINT,
            };
            let e = ratio.estimate;
            whisker(area, (at(e.low), at(e.high)), middle, colour)?;
            let place = (at(e.value), middle);
            area.draw(&Circle::new(place, 4, colour.filled())).map_err(failed)?;
            text(area, row, (ROWS - 8, middle), 16, INK, HPos::Right)?;
            // One round has no interval.
            let words = match e.low < e.high {
                true => format!("{:.2} [{:.2}, {:.2}]", e.value, e.low, e.high),
                false => format!("{:.2}", e.value),
            };
            text(area, &words, (WIDTH - INTERVALS + 12, middle), 16, FAINT, HPos::Left)?;
        }
        Ok(())
    })
}

fn whisker(area: &Area<'_>, (low, high): (i32, i32), y: i32, colour: RGBColor) -> Result<()> {
    let style: ShapeStyle = colour.stroke_width(1);
    for line in
        [[(low, y), (high, y)], [(low, y - 4), (low, y + 4)], [(high, y - 4), (high, y + 4)]]
    {
        area.draw(&PathElement::new(line, style)).map_err(failed)?;
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
    use crate::report::model::tests::example;

    #[test]
    fn one_row_has_a_bar_for_each_allocator_in_each_panel() {
        let mut suite = example().suites.remove(0);
        suite.rows.truncate(1);
        let [svg] = &of(&suite).unwrap()[..] else { panic!("one plot") };
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("#0072B2").count(), 2);
        assert_eq!(svg.matches("#B2BAC2").count(), 4);
        assert!(svg.contains("time, s: lower is better"));
    }

    #[test]
    fn more_rows_have_a_ratio_each_in_the_colour_of_its_outcome() {
        let suite = example().suites.remove(0);
        let plots = of(&suite).unwrap();
        assert_eq!(plots.len(), 2, "time and peak");
        assert_eq!(plots[0].matches("<circle").count(), 2);
        // Three lines of the whisker, and the point.
        assert_eq!(plots[0].matches("#D55E00").count(), 4);
        assert_eq!(plots[0].matches("#0072B2").count(), 4);
        assert!(plots[0].contains("fast") && plots[0].contains("1.20 [1.19, 1.21]"));
    }

    #[test]
    fn a_suite_without_figures_is_drawn_empty() {
        let mut suite = example().suites.remove(0);
        suite.rows.truncate(1);
        suite.rows[0].figures.clear();
        assert!(of(&suite).unwrap()[0].contains("</svg>"));
        suite.rows.clear();
        assert!(of(&suite).unwrap().is_empty());
    }
}

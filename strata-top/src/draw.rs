//! Draws the live view and the list of processes.
//!
//! ```text
//!  process 7 (server), Strata …
//!  live          512.0 MiB  +1.2 MiB │ committed ▁▂▃▄▅▆
//!  …                                 │ RSS       ▁▂▃▄▅▆
//!  size class   blocks live  …
//!  q quit …
//! ```

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, Cell, Row, Sparkline, Table, TableState};

use crate::history::History;
use crate::rows::{ROWS, Unit, bytes, count};
use crate::sample::Sample;
use crate::tables::head;

/// Columns of the table of numbers: names, numbers, changes.
const COLUMNS: [u16; 3] = [19, 12, 13];
/// Between two columns, and between the table and what is beside it.
const GAP: u16 = 1;

/// Rows of the table of classes that a small screen keeps for it, with its head.
const CLASS_ROWS: u16 = 6;

/// A line of what was.
struct Curve {
    name: &'static str,
    is_rate: bool,
    get: fn(&Sample) -> Option<usize>,
}

static CURVES: [Curve; 4] = [
    Curve { name: "live", is_rate: false, get: |it| Some(it.numbers.live_bytes) },
    Curve { name: "committed", is_rate: false, get: |it| Some(it.numbers.committed_bytes) },
    Curve { name: "RSS", is_rate: false, get: |it| Some(it.rss_bytes) },
    Curve { name: "allocated", is_rate: true, get: |it| Some(it.numbers.allocated_bytes_total) },
];

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().fg(Color::DarkGray)
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).alignment(Alignment::Right))
}

/// Draws a process. From the class `from` on, those that fit are shown.
pub(crate) fn process(frame: &mut Frame, history: &History, from: usize) {
    let [title, middle, classes, help] = parts(frame.area());
    frame.render_widget(Line::from(head(history.now())).style(bold()), title);
    let table = COLUMNS.iter().sum::<u16>() + 2 * GAP;
    let [numbers, _, curves] =
        Layout::horizontal([Constraint::Length(table), Constraint::Length(2), Constraint::Min(0)])
            .areas(middle);
    frame.render_widget(numbers_table(history, numbers.height), numbers);
    draw_curves(frame, history, curves);
    frame.render_widget(classes_table(history, from), classes);
    let keys = "q quit   ↑ ↓ classes   p processes";
    let copies = if history.now().copies > 1 { "   Tab next copy" } else { "" };
    frame.render_widget(Line::from(format!("{keys}{copies}")).style(dim()), help);
}

/// The parts of the screen: title, numbers with curves, classes, keys. All numbers are shown where
/// there is room for the classes, too.
fn parts(area: Rect) -> [Rect; 4] {
    let first = ROWS.iter().filter(|row| row.is_first).count() as u16;
    let all = ROWS.len() as u16;
    let has_room = area.height >= 2 + 1 + all + CLASS_ROWS;
    let rows = 1 + if has_room { all } else { first };
    let constraints = [
        Constraint::Length(1),
        Constraint::Length(rows),
        Constraint::Min(0),
        Constraint::Length(1),
    ];
    Layout::vertical(constraints).areas(area)
}

fn numbers_table(history: &History, height: u16) -> Table<'static> {
    let has_all = usize::from(height) > ROWS.len();
    let rows = ROWS.iter().filter(|row| has_all || row.is_first).map(|row| {
        let change = history.per_second(row).map_or_else(String::new, |it| row.unit.change(it));
        Row::new([Cell::from(row.name), right(row.text(history.now())), right(change)])
    });
    let head = Row::new([Cell::from(""), right("now".into()), right("in a second".into())]);
    Table::new(rows, COLUMNS.map(Constraint::Length)).column_spacing(GAP).header(head.style(dim()))
}

fn draw_curves(frame: &mut Frame, history: &History, area: Rect) {
    // One that has no line of its own below its name shows nothing.
    let fit = usize::from(area.height / 2).min(CURVES.len());
    let areas = Layout::vertical(vec![Constraint::Fill(1); fit]).split(area);
    for (curve, area) in CURVES.iter().zip(areas.iter()) {
        let values =
            if curve.is_rate { history.rates(curve.get) } else { history.values(curve.get) };
        let shown = &values[..values.len().min(area.width.into())];
        let most = shown.iter().copied().max().unwrap_or(0);
        let unit = if curve.is_rate { "/s" } else { "" };
        let title = format!("{}, up to {}{unit} ", curve.name, bytes(most as f64));
        // The newest is at the right.
        let line = Sparkline::default()
            .block(Block::new().borders(Borders::TOP).border_style(dim()).title(title))
            .data(shown.iter().copied())
            .max(most.max(1))
            .direction(ratatui::widgets::RenderDirection::RightToLeft)
            .style(Style::new().fg(Color::Cyan));
        frame.render_widget(line, *area);
    }
}

fn classes_table(history: &History, from: usize) -> Table<'static> {
    let classes = history.classes();
    let from = from.min(classes.len().saturating_sub(1));
    let rows = classes.into_iter().skip(from).map(|now| {
        let class = now.class;
        let change = now.per_second.map_or_else(String::new, |it| Unit::One.change(it));
        Row::new([
            right(format!("{} B", class.block_bytes)),
            right(count(class.live_blocks as f64)),
            right(bytes(class.live_bytes() as f64)),
            right(change),
            right(count(class.cached_blocks as f64)),
            right(bytes(class.cached_bytes() as f64)),
        ])
    });
    let heads = ["size class", "blocks live", "live", "in a second", "blocks cached", "cached"];
    let head = Row::new(heads.map(|text| right(text.to_owned()))).style(dim());
    Table::new(rows, [12, 12, 12, 12, 13, 12].map(Constraint::Length))
        .column_spacing(GAP)
        .header(head)
}

/// How many processes are not in the list, though they may be on Strata.
#[derive(Default)]
pub(crate) struct Unread {
    /// They may not be read.
    pub(crate) denied: usize,
    /// They are, in a version that cannot be read.
    pub(crate) of_another_layout: usize,
}

impl Unread {
    fn text(&self) -> String {
        let mut text = String::new();
        for (count, what) in
            [(self.denied, "may not be read"), (self.of_another_layout, "on another version")]
        {
            if count != 0 {
                text += &format!("; {count} {what}");
            }
        }
        text
    }
}

/// Draws the list of processes, with one selected.
pub(crate) fn processes(frame: &mut Frame, all: &[Sample], selected: usize, unread: &Unread) {
    let constraints = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [title, middle, help] = Layout::vertical(constraints).areas(frame.area());
    let hidden = unread.text();
    let what = match all.len() {
        0 => format!("no process is on Strata{hidden}"),
        1 => format!("1 process on Strata{hidden}"),
        some => format!("{some} processes on Strata{hidden}"),
    };
    frame.render_widget(Line::from(what).style(bold()), title);
    let rows = all.iter().map(|sample| {
        Row::new([
            right(sample.pid.to_string()),
            Cell::from(sample.command.clone()),
            right(bytes(sample.numbers.live_bytes as f64)),
            right(bytes(sample.numbers.committed_bytes as f64)),
            right(bytes(sample.rss_bytes as f64)),
            right(count(sample.numbers.threads as f64)),
        ])
    });
    let head = ["process", "command", "live", "committed", "RSS", "threads"];
    let head = head.iter().enumerate().map(|(at, text)| match at {
        1 => Cell::from(*text),
        _ => right((*text).to_owned()),
    });
    let widths = [8, 17, 12, 12, 12, 8].map(Constraint::Length);
    let table = Table::new(rows, widths)
        .column_spacing(GAP)
        .header(Row::new(head).style(dim()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected((!all.is_empty()).then_some(selected));
    frame.render_stateful_widget(table, middle, &mut state);
    frame.render_widget(Line::from("q quit   ↑ ↓ select   Enter show").style(dim()), help);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{Class, Numbers};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    /// A sample with so many MiB live, at this second.
    fn sample(mib: usize, second: f64) -> Sample {
        let live = mib << 20;
        let class = |at: usize| Class {
            block_bytes: 16 * at,
            live_blocks: at * 1000 + mib,
            cached_blocks: at,
        };
        Sample {
            pid: 4321,
            command: "server".to_owned(),
            object: "/srv/server".to_owned(),
            copies: 1,
            unix_time: second,
            rss_bytes: live + (7 << 20),
            huge_page_bytes: Some(2 << 20),
            swapped_bytes: 0,
            numbers: Numbers {
                version: "0.1.0".to_owned(),
                live_bytes: live,
                large_bytes: live / 2,
                huge_bytes: live / 4,
                huge_blocks: 3,
                cached_bytes: 640 << 10,
                mapped_bytes: live + (64 << 20),
                committed_bytes: live + (4 << 20),
                committed_peak_bytes: live + (9 << 20),
                free_bytes: 3 << 20,
                metadata_bytes: 123 << 10,
                allocated_blocks_total: 1_234_567,
                allocated_bytes_total: 10 * live,
                freed_blocks_total: 1_000_000,
                freed_bytes_total: 9 * live,
                purged_bytes_total: 5 << 30,
                purges_total: 17,
                threads: 12,
                threads_peak: 14,
                refusals_total: 0,
                limit_bytes: Some(1 << 30),
                limit_exceeded_total: 0,
                hard_limit_bytes: None,
                hard_limit_refusals_total: 0,
                container_limit_bytes: Some(2 << 30),
                container_used_ratio: 0.5,
                container_waiting_ratio: 0.0,
                memory_short: 0,
                memory_scarce: 0,
                classes: (1..40).map(class).collect(),
            },
        }
    }

    fn history() -> History {
        let mut history = History::new(sample(100, 0.0));
        (1..30).for_each(|second| history.add(sample(100 + 10 * second, second as f64)));
        history
    }

    /// The lines of a screen.
    fn screen(width: u16, height: u16, draw: impl FnOnce(&mut Frame)) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(draw).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(line).collect()
    }

    /// The line that begins so.
    fn line<'a>(lines: &'a [String], name: &str) -> Option<&'a String> {
        lines.iter().find(|line| line.starts_with(&format!("{name} ")))
    }

    #[test]
    fn a_small_screen_has_the_first_rows() {
        let history = history();
        let lines = screen(80, 24, |frame| process(frame, &history, 0));
        assert!(lines[0].starts_with("process 4321 (server), Strata 0.1.0 in /srv/server"));
        for row in ROWS.iter().filter(|row| row.is_first) {
            let line = line(&lines, row.name).unwrap_or_else(|| panic!("no {}", row.name));
            let text = row.text(history.now());
            assert!(line.contains(&format!(" {text} ")), "{text} in {line}");
        }
        assert!(line(&lines, "swapped").is_none());
        // 10 MiB in a second.
        assert!(line(&lines, "live").unwrap().contains(" 390.0 MiB     +10.0 MiB "), "{lines:#?}");
        assert!(line(&lines, "hard limit").unwrap().contains(" none "));
        let all = lines.concat();
        for title in ["live, up to 390.0 MiB ", "allocated, up to 100.0 MiB/s"] {
            assert!(all.contains(title), "{title} in {lines:#?}");
        }
        assert!(all.contains('█') && all.contains("size class"));
        assert!(lines[23].starts_with("q quit"));
        assert!(!lines[23].contains("Tab"));
        // The classes with most bytes come first.
        let head = lines.iter().position(|line| line.contains("size class")).unwrap();
        assert!(lines[head + 1].trim_start().starts_with("624 B "), "{}", lines[head + 1]);
        assert!(lines[head + 2].trim_start().starts_with("608 B "));
        assert!(head + 3 < 23, "{lines:#?}");
    }

    #[test]
    fn a_large_screen_has_all_rows() {
        let history = history();
        let lines = screen(200, 50, |frame| process(frame, &history, 0));
        for row in &ROWS {
            assert!(line(&lines, row.name).is_some(), "{}", row.name);
        }
        let classes = lines.iter().filter(|line| line[..12].trim_end().ends_with(" B")).count();
        assert!(classes >= 20, "{classes} in {lines:#?}");
        // What was before is to the left.
        let bars = |line: &String| line.chars().filter(|c| ('▁'..='█').contains(c)).count();
        assert!(lines.iter().map(bars).max() >= Some(29), "{lines:#?}");
    }

    #[test]
    fn classes_are_scrolled() {
        let history = history();
        let lines = screen(80, 24, |frame| process(frame, &history, 2));
        let head = lines.iter().position(|line| line.contains("size class")).unwrap();
        assert!(lines[head + 1].trim_start().starts_with("592 B "), "{}", lines[head + 1]);
        let lines = screen(80, 24, |frame| process(frame, &history, 1000));
        assert!(lines[head + 1].trim_start().starts_with("16 B "), "{}", lines[head + 1]);
    }

    /// Nothing is drawn where there is no room, and nothing fails.
    #[test]
    fn tiny_screens() {
        let mut of_two = sample(1, 0.0);
        of_two.copies = 2;
        let history = History::new(of_two);
        for (width, height) in [(1, 1), (10, 3), (47, 17), (80, 10), (30, 200)] {
            screen(width, height, |frame| process(frame, &history, 0));
            screen(width, height, |frame| {
                processes(frame, &[sample(1, 0.0)], 0, &Unread::default())
            });
        }
        let lines = screen(80, 24, |frame| process(frame, &history, 0));
        assert!(lines[0].contains("one of 2 copies"), "{}", lines[0]);
        assert!(lines[23].contains("Tab next copy"));
    }

    #[test]
    fn a_list_of_processes() {
        let all = [sample(100, 0.0), sample(200, 0.0)];
        let unread = Unread { denied: 3, of_another_layout: 1 };
        let lines = screen(80, 24, |frame| processes(frame, &all, 1, &unread));
        assert!(
            lines[0].starts_with("2 processes on Strata; 3 may not be read; 1 on another version ")
        );
        assert!(lines[2].contains("4321 server") && lines[2].contains(" 100.0 MiB "));
        assert!(lines[3].contains(" 200.0 MiB "));
        let lines = screen(80, 24, |frame| processes(frame, &[], 0, &Unread::default()));
        assert!(lines[0].starts_with("no process is on Strata "));
    }
}

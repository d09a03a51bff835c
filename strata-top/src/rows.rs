//! The rows of all tables: names, numbers, and how they are written.

use crate::sample::Sample;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    Bytes,
    One,
}

/// A row.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    /// Whether it is shown on a small screen, too.
    pub(crate) is_first: bool,
    /// `None`: there is no such number, such as a limit that is not set.
    pub(crate) get: fn(&Sample) -> Option<usize>,
}

const fn first(name: &'static str, unit: Unit, get: fn(&Sample) -> Option<usize>) -> Row {
    Row { name, unit, is_first: true, get }
}

const fn more(name: &'static str, unit: Unit, get: fn(&Sample) -> Option<usize>) -> Row {
    Row { name, unit, is_first: false, get }
}

use Unit::{Bytes, One};

/// All rows. What is indented is a part of the row above, or was its maximum.
pub(crate) static ROWS: [Row; 23] = [
    first("live", Bytes, |it| Some(it.numbers.live_bytes)),
    first("  above 32 KiB", Bytes, |it| Some(it.numbers.large_bytes)),
    more("  above 1 MiB", Bytes, |it| Some(it.numbers.huge_bytes)),
    first("cached", Bytes, |it| Some(it.numbers.cached_bytes)),
    first("free", Bytes, |it| Some(it.numbers.free_bytes)),
    first("committed", Bytes, |it| Some(it.numbers.committed_bytes)),
    more("  at most", Bytes, |it| Some(it.numbers.committed_peak_bytes)),
    first("mapped", Bytes, |it| Some(it.numbers.mapped_bytes)),
    more("tables and records", Bytes, |it| Some(it.numbers.metadata_bytes)),
    first("RSS", Bytes, |it| Some(it.rss_bytes)),
    first("  huge pages", Bytes, |it| it.huge_page_bytes),
    more("swapped", Bytes, |it| Some(it.swapped_bytes)),
    first("allocated so far", Bytes, |it| Some(it.numbers.allocated_bytes_total)),
    first("freed so far", Bytes, |it| Some(it.numbers.freed_bytes_total)),
    first("purged so far", Bytes, |it| Some(it.numbers.purged_bytes_total)),
    more("blocks allocated", One, |it| Some(it.numbers.allocated_blocks_total)),
    more("blocks freed", One, |it| Some(it.numbers.freed_blocks_total)),
    more("refused requests", One, |it| Some(it.numbers.refusals_total)),
    first("soft limit", Bytes, |it| it.numbers.limit_bytes),
    first("hard limit", Bytes, |it| it.numbers.hard_limit_bytes),
    more("container's limit", Bytes, |it| it.numbers.container_limit_bytes),
    first("threads", One, |it| Some(it.numbers.threads)),
    more("  at most", One, |it| Some(it.numbers.threads_peak)),
];

/// A number in a unit of which it is a few hundred at most, with one digit behind the point.
fn scaled(number: f64) -> (f64, usize) {
    const STEP: f64 = 1024.0;
    let (mut number, mut unit) = (number, 0);
    // What would be rounded to a thousand is one of the next unit.
    while number.abs() >= 999.95 && unit < 5 {
        number /= STEP;
        unit += 1;
    }
    (number, unit)
}

/// A number of bytes, for people.
pub(crate) fn bytes(number: f64) -> String {
    match scaled(number) {
        (number, 0) => format!("{number:.0} B"),
        (number, unit) => format!("{number:.1} {}iB", ["", "K", "M", "G", "T", "P"][unit]),
    }
}

/// A count, for people.
pub(crate) fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

impl Unit {
    /// A number, for people.
    pub(crate) fn text(self, number: f64) -> String {
        match self {
            Unit::Bytes => bytes(number),
            Unit::One => count(number),
        }
    }

    /// A difference, for people; empty if there is none.
    pub(crate) fn change(self, number: f64) -> String {
        let text = self.text(number);
        match text.trim_start_matches('-') {
            "0" | "0 B" => String::new(),
            _ if number > 0.0 => format!("+{text}"),
            _ => text,
        }
    }
}

impl Row {
    /// Its number in a sample.
    pub(crate) fn text(&self, sample: &Sample) -> String {
        let number = (self.get)(sample);
        number.map_or_else(|| "none".to_owned(), |number| self.unit.text(number as f64))
    }

    /// By how much it grew from one sample to another. `None`: one has no such number.
    pub(crate) fn growth(&self, before: &Sample, now: &Sample) -> Option<f64> {
        Some((self.get)(now)? as f64 - (self.get)(before)? as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_in_the_unit_that_fits() {
        let cases = [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1000.0, "1.0 KiB"),
            (1024.0 * 1024.0, "1.0 MiB"),
            (999.96 * 1024.0, "1.0 MiB"),
            (1_610_612_736.0, "1.5 GiB"),
            (-2048.0, "-2.0 KiB"),
            (u64::MAX as f64, "16384.0 PiB"),
        ];
        for (number, text) in cases {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn counts_have_commas() {
        let cases = [(0.0, "0"), (12.0, "12"), (1234.0, "1,234"), (-1_234_567.0, "-1,234,567")];
        for (number, text) in cases {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn changes_have_signs() {
        assert_eq!(Unit::Bytes.change(0.0), "");
        assert_eq!(Unit::One.change(0.4), "");
        assert_eq!(Unit::One.change(-0.4), "");
        assert_eq!(Unit::Bytes.change(5000.0), "+4.9 KiB");
        assert_eq!(Unit::One.change(-5000.0), "-5,000");
    }
}

//! Tables for the terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

/// An empty table with these headings.
pub fn table(headings: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(headings);
    table
}

/// A right-aligned cell.
pub fn right(text: impl Into<String>) -> Cell {
    Cell::new(text.into()).set_alignment(CellAlignment::Right)
}

/// A number with three digits that count; a dash if there is none.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return String::from("–");
    }
    let digits = match value.abs() {
        0.0 => 0,
        v if v < 0.01 => 4,
        v if v < 1.0 => 3,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let values = [0.0, 0.0016, 0.0164, 0.178, 9.99, 12.34, 1234.5].map(number);
        assert_eq!(values, ["0", "0.0016", "0.016", "0.178", "9.99", "12.3", "1234"]);
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        assert_eq!(number(f64::NAN), "–");
    }

    #[test]
    fn a_table_has_headings_and_rows() {
        let mut table = table(["row".to_owned(), "b".to_owned()]);
        table.add_row([Cell::new("x"), right("1")]);
        let text = table.to_string();
        assert!(text.contains("row") && text.contains('x') && text.contains('1'), "{text}");
    }
}

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

/// A number with this many decimals; a dash if there is none.
pub fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { String::from("–") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_a_dash() {
        assert_eq!(number(1.25, 1), "1.2");
        assert_eq!(number(f64::NAN, 1), "–");
    }

    #[test]
    fn a_table_has_headings_and_rows() {
        let mut table = table(["row".to_owned(), "b".to_owned()]);
        table.add_row([Cell::new("x"), right("1")]);
        let text = table.to_string();
        assert!(text.contains("row") && text.contains('x') && text.contains('1'), "{text}");
    }
}

//! What is noticed of each misuse is what `docs/misuse.md` says.

use capi_tests::{compile, preloaded, repository};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

/// The rows of the table: what they say, and the kind of misuse that `noticed.c` commits.
const ROWS: [(&str, &str); 12] = [
    ("freed twice in a row", "twice"),
    ("freed twice, another block of the size between", "twice-with-another-between"),
    ("freed again by another thread", "twice-in-two-threads"),
    ("freed again when it has a new user", "twice-after-reuse"),
    ("freed with the pointer plus 1", "plus-1"),
    ("freed with the pointer plus 16", "plus-16"),
    ("a pointer to the stack", "stack"),
    ("a pointer to a global variable", "global"),
    ("a pointer to another mapping", "mapping"),
    ("`free_sized` with a larger size", "size"),
    ("written beyond its end", "overflow"),
    ("written after it was freed", "use-after-free"),
];

const COLUMNS: [[&str; 2]; 4] =
    [["small", "cold"], ["small", "warm"], ["medium", "warm"], ["huge", "warm"]];

/// Commits a misuse, and tells when it was noticed.
fn noticed(program: &Path, kind: &str, [size, warmth]: [&str; 2]) -> &'static str {
    let output = preloaded(program, 120).args([kind, size, warmth]).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    // `timeout` reports an abort of its child as its own.
    let aborted = output.status.signal() == Some(6) || output.status.code() == Some(134);
    match (aborted, &*out) {
        (true, "") => "at once",
        (true, "then\n") => "later",
        (false, "then\nend\n") => "no",
        _ if output.status.signal() == Some(11) || output.status.code() == Some(139) => "a fault",
        _ => panic!("{kind} {size} {warmth}: {output:?}"),
    }
}

#[test]
fn the_table_is_true() {
    let program = compile("noticed.c", "", &[]);
    let mut table = String::new();
    for (text, kind) in ROWS {
        let cells = COLUMNS.map(|column| noticed(&program, kind, column));
        table += &format!("| {text} | {} |\n", cells.join(" | "));
    }
    let page = fs::read_to_string(repository().join("docs/misuse.md")).unwrap();
    assert!(page.contains(&table), "docs/misuse.md does not have this table:\n{table}");
}

//! Laws of sizes.

use laws::source::{lines_of_c, lines_of_code};
use laws::workspace::{read, root, shown, with_extension};

/// Most lines of code in a file. Comments, empty lines and modules of tests are not
/// counted.
const MOST_LINES: usize = 600;

#[test]
fn files_are_short() {
    let root = root();
    let rust = with_extension(&root, &["rs"]).map(|path| (path, lines_of_code(&read(path))));
    let c = with_extension(&root, &["c", "cc", "h"]).map(|path| (path, lines_of_c(&read(path))));
    let mut long = Vec::new();
    for (path, lines) in rust.chain(c) {
        if lines > MOST_LINES {
            long.push(format!("{} has {lines} lines of code", shown(path)));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

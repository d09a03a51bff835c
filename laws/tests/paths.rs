//! Laws of paths.

use laws::paths::of_a_machine;
use laws::workspace::{shown, tracked};

/// Temporary files are created in `std::env::temp_dir()`, or by `mktemp`.
#[test]
fn nothing_names_a_path_of_one_machine() {
    let mut wrong = Vec::new();
    for path in tracked() {
        // Files that are not text are skipped.
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for (at, line) in text.lines().enumerate() {
            if let Some(found) = of_a_machine(line) {
                wrong.push(format!("{}:{}: {found}", shown(path), at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

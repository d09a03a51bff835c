//! Laws against leftovers of unfinished work.

use laws::source::{attributes, calls_of_macro, tokens};
use laws::workspace::{read, root, shown, with_extension};

#[test]
fn no_unfinished_code() {
    let mut wrong = Vec::new();
    for path in with_extension(&root(), &["rs"]) {
        let tokens = tokens(&read(path));
        for name in ["todo", "unimplemented", "dbg"] {
            let lines = calls_of_macro(&tokens, name);
            wrong.extend(lines.iter().map(|line| format!("{}:{line}: {name}!", shown(path))));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A test that needs something that is missing prints `SKIPPED`, and fails under CI.
#[test]
fn no_test_is_ignored() {
    let mut wrong = Vec::new();
    for path in with_extension(&root(), &["rs"]) {
        for (name, tokens, line) in attributes(&tokens(&read(path))) {
            let asked = tokens.iter().any(|token| token.to_string().contains("ignore"));
            if name == "ignore" || name == "cfg_attr" && asked {
                wrong.push(format!("{}:{line}: an ignored test", shown(path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

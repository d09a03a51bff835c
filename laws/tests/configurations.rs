//! Laws of configurations.

use laws::source::{cfg_in_functions, tokens};
use laws::workspace::{read, root, shown, with_extension};

/// What differs between configurations is a whole item, so that the body of a function
/// is compiled as it reads.
#[test]
fn functions_are_the_same_in_every_configuration() {
    let mut wrong = Vec::new();
    for path in with_extension(&root(), &["rs"]) {
        let lines = cfg_in_functions(&tokens(&read(path)));
        wrong.extend(lines.iter().map(|line| format!("{}:{line}: cfg in a function", shown(path))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

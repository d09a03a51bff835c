//! Laws of configurations.

use cargo_metadata::DependencyKind;
use laws::source::{cfg_in_functions, tokens};
use laws::workspace::{package, read, root, shown, with_extension};

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

/// A program that takes no feature of the facade gets the allocator, and nothing else.
#[test]
fn features_alone_bring_dependencies() {
    let facade = package("strata-alloc").unwrap();
    let normal = facade.dependencies.iter().filter(|it| it.kind == DependencyKind::Normal);
    let always: Vec<_> = normal.filter(|it| !it.optional).map(|it| it.name.as_str()).collect();
    assert_eq!(always, ["allocator-core"]);
    assert_eq!(facade.features["default"], ["profile"]);
}

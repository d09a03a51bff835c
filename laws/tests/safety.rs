//! Laws of unsafe code: safety comments, the invariants that they cite, and lints.

use std::collections::BTreeSet;

use laws::safety_comments::{defined_labels, labels, undocumented};
use laws::source::{attributes, idents, tokens};
use laws::workspace::{folder, packages, read, root, shown, toml, tracked, with_extension};

#[test]
fn every_unsafe_block_and_implementation_says_why() {
    let mut wrong = Vec::new();
    for path in with_extension(&root(), &["rs"]) {
        let lines = undocumented(&read(path));
        wrong.extend(lines.iter().map(|line| format!("{}:{line}: no SAFETY comment", shown(path))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_package_has_the_lints_of_the_workspace() {
    let workspace = toml(&root().join("Cargo.toml"));
    let lints = &workspace["workspace"]["lints"];
    for (tool, lint) in
        [("clippy", "undocumented_unsafe_blocks"), ("rust", "unsafe_op_in_unsafe_fn")]
    {
        assert_eq!(lints[tool][lint].as_str(), Some("deny"), "{lint}");
    }
    for package in packages() {
        let manifest = toml(&folder(package).join("Cargo.toml"));
        let inherits = manifest.get("lints").and_then(|it| it.get("workspace")?.as_bool());
        assert_eq!(inherits, Some(true), "lints of {}", package.name);
    }
}

/// Neither an attribute nor a command allows them.
#[test]
fn nobody_allows_what_the_lints_of_unsafe_code_deny() {
    let denied = ["undocumented_unsafe_blocks", "unsafe_op_in_unsafe_fn"];
    let groups = ["all", "restriction", "warnings"];
    for path in with_extension(&root(), &["rs"]) {
        for (name, tokens, line) in attributes(&tokens(&read(path))) {
            let allows = ["allow", "expect", "warn", "cfg_attr"].contains(&name.as_str());
            let names = idents(&tokens);
            let named = denied.iter().chain(&groups).find(|it| names.contains(**it));
            let named = named.filter(|it| denied.contains(it) || name != "cfg_attr");
            assert!(!allows || named.is_none(), "{}:{line}: {name} {named:?}", shown(path));
        }
    }
    let others = tracked().iter().filter(|path| {
        let extension = path.extension().and_then(|it| it.to_str());
        !matches!(extension, Some("rs" | "md")) && **path != root().join("Cargo.toml")
    });
    for path in others {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let named = denied.iter().find(|lint| text.contains(**lint));
        assert_eq!(named, None, "{}", shown(path));
    }
}

#[test]
fn every_label_is_an_invariant_and_every_invariant_is_cited() {
    let document = read(&root().join("docs/invariants.md"));
    let mut defined = BTreeSet::new();
    for label in defined_labels(&document) {
        assert!(defined.insert(label.to_owned()), "docs/invariants.md defines {label} twice");
    }
    let mut cited = BTreeSet::new();
    for path in tracked() {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let labels = labels(&text);
        let strange: Vec<_> = labels.difference(&defined).collect();
        assert!(strange.is_empty(), "{} cites {strange:?}, not an invariant", shown(path));
        // Only citations in source count; the tests of the laws contain some, too.
        let is_source = path.extension().is_some_and(|it| it == "rs");
        if is_source && !path.starts_with(root().join("laws")) {
            cited.extend(labels);
        }
    }
    let idle: Vec<_> = defined.difference(&cited).collect();
    assert!(idle.is_empty(), "docs/invariants.md defines {idle:?}, which no source cites");
}

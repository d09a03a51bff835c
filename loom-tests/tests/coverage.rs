//! Nothing is left out: each ordering has its twins, each label and each model
//! its place in `docs/orderings.md`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};

use loom_tests::{MODELS, TWINS, Weakness, labels};

fn weaker(order: Ordering) -> &'static [Ordering] {
    match order {
        AcqRel => &[Acquire, Release, Relaxed],
        Acquire | Release => &[Relaxed],
        _ => &[],
    }
}

#[test]
fn every_ordering_has_its_twins() {
    for (label, order) in labels() {
        for &weaker in weaker(order) {
            let fails = TWINS
                .iter()
                .any(|twin| twin.label == label && twin.weakness == Weakness::Order(weaker));
            assert!(fails, "{label} weakened to {weaker:?} has no twin");
        }
    }
    for twin in TWINS.iter().filter(|twin| matches!(twin.weakness, Weakness::Order(_))) {
        assert!(labels().any(|(label, _)| label == twin.label), "{} is no more", twin.label);
    }
}

#[test]
fn the_table_of_orderings_is_whole() {
    let table = include_str!("../../docs/orderings.md");
    for (label, _) in labels() {
        assert!(table.contains(&format!("`{label}`")), "{label} is not in docs/orderings.md");
    }
    for model in MODELS {
        assert!(table.contains(&format!("`{}`", model.name)), "{} is not there", model.name);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The modules that name atomics, and the fields that are some.
#[test]
fn every_atomic_is_in_the_table() {
    let table = include_str!("../../docs/orderings.md");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../allocator-core/src");
    let mut found = 0;
    for path in files(source.as_ref()) {
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().map(str::trim) {
            let line = line.trim_start_matches("pub(crate) ").trim_start_matches("static ");
            let Some((name, kind)) = line.split_once(": ") else { continue };
            let kind = kind.split(" =").next().unwrap();
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let is_atomic = kind.contains("Atomic") && !kind.contains("::new(");
            // References and pointers are to atomics that stand elsewhere.
            if is_name && is_atomic && !kind.starts_with(['&', '*']) {
                let name = format!("`{module}` `{name}`");
                assert!(table.contains(&name), "{name} is not in docs/orderings.md");
                found += 1;
            }
        }
    }
    assert!(found > 40, "{found} atomics found");
}

//! Nothing is left out: each site that names an ordering is reached by a model, or is one of
//! those for which a reason is given; each that acquires or releases has its twins; each label
//! and each model has its place in `docs/orderings.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};

use loom_tests::{
    EQUIVALENT, MODELS, NOT_MODELLED, OUTSIDE, Site, TWINS, Weakness, in_other_crates, in_source,
    in_table, labels,
};

fn weaker(order: Ordering) -> &'static [Ordering] {
    match order {
        AcqRel => &[Acquire, Release, Relaxed],
        Acquire | Release => &[Relaxed],
        _ => &[],
    }
}

/// The sites of each label.
fn by_label() -> BTreeMap<String, Vec<Site>> {
    let mut by_label = BTreeMap::<_, Vec<_>>::new();
    for site in in_source() {
        by_label.entry(site.label.clone()).or_default().push(site);
    }
    by_label
}

#[test]
fn every_site_that_orders_has_its_twins() {
    let by_label = by_label();
    let (mut sites, mut equivalent) = (0, 0);
    for (label, order) in labels() {
        for site in by_label.get(label).into_iter().flatten() {
            for &weaker in weaker(order) {
                let is_of = |at: Option<(&str, usize)>| match at {
                    Some(at) => at == (site.function.as_str(), site.nth),
                    // All sites at once: only a label with one site is known by that.
                    None => by_label[label].len() == 1,
                };
                let twin = TWINS.iter().any(|twin| {
                    twin.label == label
                        && twin.weakness == Weakness::Order(weaker)
                        && is_of(twin.at)
                });
                let listed = EQUIVALENT.iter().any(|(of, function, nth, order, _)| {
                    *of == label && is_of(Some((function, *nth))) && *order == weaker
                });
                assert!(twin || listed, "{site} weakened to {weaker:?} has no twin");
                assert!(!(twin && listed), "{site} {weaker:?} is on both lists");
                equivalent += usize::from(listed);
            }
            sites += usize::from(!weaker(order).is_empty());
        }
    }
    assert!(sites > 40, "{sites} sites acquire or release");
    assert_eq!(equivalent, EQUIVALENT.len(), "a site on the list is no more");
    assert!(equivalent <= 12, "{equivalent} twins that no model can tell");
    let sites = in_source();
    for twin in TWINS.iter().filter(|twin| matches!(twin.weakness, Weakness::Order(_))) {
        let is_of = |site: &&Site| {
            twin.at.is_none_or(|at| at == (site.function.as_str(), site.nth))
                && site.label == twin.label
        };
        assert!(sites.iter().any(|site| is_of(&site)), "{twin:?} is no more");
    }
}

/// `sites.tsv` is what the models' tests say that they reach.
#[test]
fn every_site_is_in_a_model_or_on_the_list() {
    let (source, table) = (in_source(), in_table());
    for site in table.keys() {
        assert!(source.contains(site), "{site} is no more: `model sites` writes the table");
    }
    let not_modelled = source.iter().filter(|site| !table.contains_key(site));
    let labels_of = |(_, labels): &(_, &'static [&'static str])| labels.iter().copied();
    let listed: Vec<&str> = NOT_MODELLED.iter().flat_map(labels_of).collect();
    let needed: BTreeSet<&str> = not_modelled.map(|site| site.label.as_str()).collect();
    let unique: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(needed, unique, "labels with a site that no model reaches, and the list");
    assert_eq!(unique.len(), listed.len(), "a label is listed twice");
    let reasons = NOT_MODELLED.len() + OUTSIDE.len();
    assert!(reasons <= 25, "{reasons} reasons");
    for (label, order) in labels() {
        assert!(weaker(order).is_empty() || !unique.contains(label), "{label} orders something");
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

/// Nor is there a site in another crate that ships without its reason.
#[test]
fn every_site_outside_the_core_is_on_the_list() {
    let listed = OUTSIDE.iter().flat_map(|(_, functions)| functions.iter());
    let listed: BTreeMap<String, usize> =
        listed.map(|(function, sites)| ((*function).to_owned(), *sites)).collect();
    assert_eq!(in_other_crates(), listed);
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

//! Laws of layers: which module may use which.

use std::collections::BTreeSet;

use laws::layers::{Files, add_uses, circles, upward};
use laws::trees::tree;
use laws::workspace::{folder, packages, shown, with_extension};

/// The order of `mod` lines is the order of layers, in libraries, programs and tests.
#[test]
fn nothing_uses_what_is_listed_after_it() {
    let mut wrong = BTreeSet::new();
    for package in packages() {
        for target in &package.targets {
            for (who, whom) in upward(&tree(package, target)) {
                let place = format!("{}, {}", package.name, target.name);
                wrong.insert(format!("{place}: {who} uses {whom}, which is listed later"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", Vec::from_iter(wrong).join("\n"));
}

/// This includes circles across targets that share files.
#[test]
fn there_is_no_circle_of_files() {
    let mut wrong = Vec::new();
    for package in packages() {
        let mut files = Files::new();
        for target in &package.targets {
            add_uses(&tree(package, target), &mut files);
        }
        for circle in circles(&files) {
            let uses = circle.iter().flat_map(|file| {
                let used = files[*file].intersection(&circle);
                used.map(|it| format!("\n    {} uses {}", shown(file), shown(it)))
            });
            wrong.push(format!("{}:{}", package.name, uses.collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The laws of layers see only files that belong to a target.
#[test]
fn every_file_belongs_to_a_target() {
    for package in packages() {
        let trees = package.targets.iter().flat_map(|target| tree(package, target));
        let listed: BTreeSet<_> = trees.map(|module| module.file).collect();
        let place = folder(package);
        // A package may stand in the folder of another.
        let inner = packages().iter().map(folder);
        let inner: Vec<_> = inner.filter(|it| *it != place && it.starts_with(&place)).collect();
        let own = with_extension(&place, &["rs"])
            .filter(|it| !inner.iter().any(|inner| it.starts_with(inner)));
        let stray = own.filter(|it| !listed.contains(*it));
        let stray: Vec<String> = stray.map(shown).collect();
        assert!(stray.is_empty(), "no target of {} has {stray:?}", package.name);
    }
}

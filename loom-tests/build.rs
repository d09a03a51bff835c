//! Lists the files of the allocator that the models compile unchanged. They are taken
//! from `allocator-core/src`, or from the directory that `STRATA_SOURCE` names.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules that the models compile: of each folder the files under test, as they
/// ship, between those below and those above them that are replaced by files in
/// `src/around`.
const FOLDERS: [(&str, [&[&str]; 3]); 9] = [
    (
        "base",
        [
            &["nested"],
            &[
                "sync",
                "ordering",
                "bits",
                "shadow",
                "geometry",
                "directory",
                "size_class",
                "lock",
                "misuse",
                "once",
                "later",
                "published",
            ],
            &[],
        ],
    ),
    ("spans", [&[], &["granules", "span", "standby", "tail"], &["page_map"]]),
    ("heaps", [&[], &["tally", "remote_queue", "heap", "heap_table"], &[]]),
    (
        "pages",
        [
            &[
                "metadata",
                "thp",
                "tables",
                "counters",
                "chunk_metadata",
                "address_space",
                "cgroup",
                "freed_huge",
                "page_runs",
                "huge_block",
                "interrupted",
            ],
            &["free_space_index", "committed", "helped", "usage", "arena"],
            &[],
        ],
    ),
    ("reclaim", [&[], &["purge", "callback", "pressure", "limit"], &[]]),
    ("remote", [&["span_source"], &["send", "take_from_heap", "span_transfer"], &[]]),
    ("profile", [&[], &["live"], &[]]),
    (
        "thread",
        [
            &["bin", "cache", "flush_all", "tls", "slow_path", "inside"],
            &["current", "registry"],
            &[],
        ],
    ),
    ("background", [&[], &["helper_state"], &[]]),
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(strata_loom)");
    println!("cargo::rustc-cfg=strata_loom");
    println!("cargo::rerun-if-env-changed=STRATA_SOURCE");
    println!("cargo::rerun-if-changed=build.rs");
    let source = env::var_os("STRATA_SOURCE").map_or_else(
        || Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../allocator-core/src"),
        PathBuf::from,
    );
    let source = source.canonicalize().expect("the allocator's source");
    let around = Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("src/around");
    let mut modules = String::new();
    let mut files = String::new();
    for (folder, [below, shipped, above]) in FOLDERS {
        writeln!(modules, "mod {folder} {{").unwrap();
        let [below, above] =
            [below, above].map(|names| names.iter().map(|name| (name, around.clone())));
        let shipped = shipped.iter().map(|name| (name, source.join(folder)));
        for (name, folder) in below.chain(shipped).chain(above) {
            let path = folder.join(name).with_extension("rs");
            println!("cargo::rerun-if-changed={}", path.display());
            if !path.starts_with(&around) {
                writeln!(files, "    ({path:?}, include_str!({path:?})),").unwrap();
            }
            writeln!(
                modules,
                "#[allow(dead_code, unused_imports, unreachable_pub, reason = \"models use a part\")]"
            )
            .unwrap();
            writeln!(modules, "#[path = {path:?}]\npub(crate) mod {name};").unwrap();
        }
        writeln!(modules, "}}").unwrap();
    }
    writeln!(modules, "\n/// The files under test: the path and the text of each.").unwrap();
    writeln!(modules, "const FILES: &[(&str, &str)] = &[\n{files}];").unwrap();
    let out = Path::new(&env::var_os("OUT_DIR").unwrap()).join("shipped.rs");
    fs::write(out, modules).unwrap();
}

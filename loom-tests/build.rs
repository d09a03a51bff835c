//! Says which files of the allocator the models compile, as they ship. They
//! are taken from `allocator-core/src`, or from where `STRATA_SOURCE` says.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The files under test. What else they name is in `src/around`.
const SHIPPED: [&str; 14] = [
    "sync", "order", "class", "fatal", "lock", "once", "table", "inbox", "granules", "span",
    "home", "rooms", "mail", "moves",
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
    let mut modules = String::new();
    for name in SHIPPED {
        let path = source.join(name).with_extension("rs");
        println!("cargo::rerun-if-changed={}", path.display());
        writeln!(modules, "#[allow(dead_code, unused_imports, reason = \"models use a part\")]\n#[path = {path:?}]\nmod {name};")
            .unwrap();
    }
    let out = Path::new(&env::var_os("OUT_DIR").unwrap()).join("shipped.rs");
    fs::write(out, modules).unwrap();
}

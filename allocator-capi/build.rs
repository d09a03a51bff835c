//! How the shared library is linked.

use std::env;

/// Its own functions call each other, whoever else has such names, but for the
/// operators that a C++ program may replace. It stays when it is closed, as
/// threads that end later come back to it.
fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let replaceable = format!("--dynamic-list={here}/replaceable.txt");
    for argument in ["-Bsymbolic-functions", "-znodelete", "-soname,libstrata.so", &replaceable] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=replaceable.txt");
}

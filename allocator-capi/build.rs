//! Linker options of the shared library.

use std::env;

/// Calls between the library's own functions are bound at link time, except for
/// the operators that a C++ program may replace, and the functions that a library
/// in front of this one may wrap. The library is never unloaded,
/// because threads that exit later call into it.
fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let replaceable = format!("--dynamic-list={here}/replaceable.txt");
    // Programs need a library with the same first part of the version.
    let major = env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
    let soname = format!("-soname,libstrata.so.{major}");
    for argument in ["-Bsymbolic-functions", "-znodelete", &soname, &replaceable] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=replaceable.txt");
}

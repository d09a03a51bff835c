//! How the shared library is linked.

fn main() {
    // Its own functions call each other, whoever else has such names; it stays
    // when it is closed, as threads that end later come back to it.
    for argument in ["-Bsymbolic", "-znodelete", "-soname,libstrata.so"] {
        println!("cargo::rustc-cdylib-link-arg=-Wl,{argument}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

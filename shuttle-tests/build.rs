//! Compiles the allocator's files with the door to atomics of this package.

fn main() {
    println!("cargo::rustc-cfg=strata_shuttle");
    // Features of the package whose files these are.
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"system\", \"hardened\"))");
    println!("cargo::rerun-if-changed=build.rs");
}

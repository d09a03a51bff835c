//! Compiles the allocator's files with the door to atomics of this package.

fn main() {
    println!("cargo::rustc-cfg=strata_shuttle");
    // A feature of the package whose files these are.
    println!("cargo::rustc-check-cfg=cfg(feature, values(\"system\"))");
    println!("cargo::rerun-if-changed=build.rs");
}

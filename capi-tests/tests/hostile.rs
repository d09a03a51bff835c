//! Calls at unusual times: before constructors, from other libraries'
//! constructors, late in a thread's life, with few resources.

use capi_tests::{compile, expect_ok, library, plain, preloaded};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

capi_tests::cases! {
    "hostile.c" [], 120 seconds;
    both: before_main keys_taken_first threads_first forked_first handlers_registered_first
        small_stacks no_descriptors closed_descriptors no_environment;
    ours:;
    by_hand: loading_libraries loading_in_threads plugin_throws;
}

mod objects {
    capi_tests::cases! {
        "hostile.cc" [], 120 seconds;
        both: objects_of_threads static_objects;
        ours:;
    }
}

/// Compiles a source in `c/` to a shared library.
fn shared(source: &str) -> PathBuf {
    compile(source, ".so", &["-shared", "-fPIC"])
}

/// A library that allocates when it is loaded and unloaded.
fn neighbour() -> &'static Path {
    static NEIGHBOUR: OnceLock<PathBuf> = OnceLock::new();
    NEIGHBOUR.get_or_init(|| shared("neighbour.c"))
}

/// Runs a case that loads a library at run time.
fn with_library(case: &str, variable: &str, library: &Path) {
    expect_ok(plain(program(), 120).args([case, "glibc"]).env(variable, library));
    expect_ok(preloaded(program(), 120).args([case, "ours"]).env(variable, library));
}

/// Runs a case with these libraries preloaded, in this order.
fn all_preloaded(libraries: [&Path; 2]) {
    let list = libraries.map(|path| path.to_str().expect("a UTF-8 path")).join(":");
    let mut command = plain("env", 120);
    command.arg(format!("LD_PRELOAD={list}")).arg(program());
    expect_ok(command.args(["before_main", "ours"]));
}

#[test]
fn loading_libraries() {
    with_library("loading_libraries", "NEIGHBOUR", neighbour());
}

#[test]
fn loading_in_threads() {
    with_library("loading_in_threads", "NEIGHBOUR", neighbour());
}

#[test]
fn plugin_throws() {
    let plugin = shared("plugin.cc");
    with_library("plugin_throws", "PLUGIN", &plugin);
}

/// The program has no C++ runtime; the library that it loads has one within.
#[test]
fn plugin_throws_with_a_runtime_within() {
    let flags = ["-shared", "-fPIC", "-static-libstdc++", "-static-libgcc"];
    let plugin = compile("plugin.cc", ".static.so", &flags);
    with_library("plugin_throws", "PLUGIN", &plugin);
}

#[test]
fn another_library_before() {
    all_preloaded([neighbour(), &library()]);
}

#[test]
fn another_library_behind() {
    all_preloaded([&library(), neighbour()]);
}

#[test]
fn a_library_that_is_not_ready() {
    all_preloaded([&shared("unready.c"), &library()]);
}

#[test]
fn a_library_that_wraps() {
    all_preloaded([&shared("wrapper.c"), &library()]);
}

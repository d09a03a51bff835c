//! Loading the library at run time into a program that uses glibc's allocator.

use capi_tests::{cases, compile, expect_ok, library, plain, scratch};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Generates a test for each case. None of them preloads the library.
macro_rules! loaded {
    ($($case:ident)*) => {
        cases! {
            "loading.c" [], 60 seconds;
            both:; ours:;
            by_hand: $($case)* after_thread_variables after_static_variables;
        }
        $(
            #[test]
            fn $case() {
                expect_ok(&mut case(stringify!($case)));
            }
        )*
    };
}

loaded! {
    local global deeply_bound lazy glibcs_blocks glibcs_blocks_global glibcs_blocks_deeply_bound
    blocks_of_the_c_library older_threads closed no_keys then_forked
}

fn case(name: &str) -> Command {
    let mut command = plain(program(), 120);
    command.args([name, "glibc"]).env("STRATA", library());
    command
}

/// A directory with thirty copies of a library that has a thread-local
/// variable.
fn thirty(name: &str, flags: &[&str]) -> PathBuf {
    let first = compile("variable.c", name, &[&["-shared", "-fPIC"], flags].concat());
    let folder = scratch().join(format!("thirty-{name}"));
    fs::create_dir_all(&folder).expect("creating the directory");
    for n in 0..30 {
        copy(&first, &folder.join(format!("{n}.so")));
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).expect("copying the library");
}

#[test]
fn after_thread_variables() {
    let folder = thirty("dynamic", &["-DSIZE=256"]);
    expect_ok(case("after_thread_variables").env("DYNAMIC", folder));
}

#[test]
fn after_static_variables() {
    let folder = thirty("static", &["-DSIZE=16", "-ftls-model=initial-exec"]);
    expect_ok(case("after_static_variables").env("STATIC", folder));
}

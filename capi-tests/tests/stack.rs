//! How much stack the functions need. The programs are linked with `-z now`: what the
//! dynamic linker needs to find a function at its first call is not ours.

use std::process::Command;

use capi_tests::{describe, expect_ok, preloaded};

capi_tests::cases! {
    "stack.c" ["-Wl,-z,now"], 60 seconds;
    both:;
    ours: paths remote_frees threads_that_only_free first_calls_of_threads ends_of_threads
        forked fibers_of_4_kib fibers_of_8_kib threads_with_least_stacks handlers_with_little_stack;
    by_hand: without_helper exits_on_4_kib misuse;
}

fn case(name: &str) -> Command {
    let mut command = preloaded(program(), 60);
    command.args([name, "ours"]);
    command
}

#[test]
fn without_helper() {
    expect_ok(case("without_helper").env("STRATA_CONF", "helper:false"));
}

#[test]
fn exits_on_4_kib() {
    let mut run = case("exits_on_4_kib");
    let output = run.env("STRATA_CONF", "stats:exit,explain:exit").output().expect("it starts");
    let printed = String::from_utf8_lossy(&output.stderr);
    let all = printed.contains("in thread caches") && printed.contains("Memory of the process");
    assert!(output.status.success() && all, "{}", describe(&output));
}

#[test]
fn misuse() {
    let output = case("misuse").output().expect("it starts");
    let reported = String::from_utf8_lossy(&output.stderr).starts_with("strata: ");
    assert!(output.status.success() && reported, "{}", describe(&output));
}

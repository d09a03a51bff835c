//! Tools that look at the blocks of a program: what they report is true.

use capi_tests::{available_or_skip, cases, describe, expect_ok, library, plain};
use std::process::{Command, Output};

cases! {
    "tools.cc" [], 60 seconds;
    both: matching; ours:;
}

/// A command that runs a case under memcheck, with the library preloaded. The
/// status is 99 if memcheck reports an error.
fn memcheck(case: &str) -> Command {
    let mut command = plain("valgrind", 240);
    command.args(["--error-exitcode=99", "--leak-check=full", "--trace-children=yes", "env"]);
    command.arg(format!("LD_PRELOAD={}", library().display())).arg(program());
    command.args([case, "ours"]);
    command
}

fn finished(command: &mut Command) -> Output {
    command.output().expect("`timeout` of the coreutils starts")
}

/// memcheck puts its own functions in the place of the library's.
#[test]
fn memcheck_finds_nothing_where_nothing_is() {
    if !available_or_skip("valgrind") {
        return;
    }
    let output = finished(&mut memcheck("matching"));
    assert!(output.status.success(), "{}", describe(&output));
}

/// glibc's checking allocator in front of the library: it defines some of the
/// functions, and its `free` must get no block of the others.
#[test]
fn behind_glibcs_checks() {
    let both = format!("LD_PRELOAD=libc_malloc_debug.so.0:{}", library().display());
    for check in ["1", "3"] {
        let mut command = plain("env", 60);
        command.arg(&both).arg(format!("MALLOC_CHECK_={check}")).arg(program());
        expect_ok(command.args(["matching", "ours"]));
    }
}

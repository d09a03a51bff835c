//! Tools that look at the blocks of a program: what they report is true. With
//! `STRATA_CONF=system:true`, they see the blocks.

use capi_tests::{
    available_or_skip, cases, compile, describe, expect_ok, libraries, library, plain, preloaded,
    scratch, succeed,
};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

cases! {
    "tools.cc" [], 60 seconds;
    both: matching; ours:;
    by_hand: leaking handed_over;
}

/// The functions of the program that lose blocks.
const LEAKING: &[&str] = &[
    "leaks_malloc",
    "leaks_calloc",
    "leaks_realloc",
    "leaks_reallocarray",
    "leaks_aligned",
    "leaks_posix_memalign",
    "leaks_new",
    "leaks_array",
    "leaks_aligned_new",
    "leaks_quiet_new",
];

const SYSTEM: &str = "system:true";

fn finished(command: &mut Command) -> Output {
    command.output().expect("`timeout` of the coreutils starts")
}

fn expect_all_named(output: &str) {
    for name in LEAKING {
        assert!(output.contains(name), "{name} is missing:\n{output}");
    }
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

/// memcheck puts its own functions in the place of the library's, but for those
/// that it does not know.
#[test]
fn memcheck_finds_nothing_where_nothing_is() {
    if !available_or_skip("valgrind") {
        return;
    }
    for options in ["", SYSTEM] {
        let output = finished(memcheck("matching").env("STRATA_CONF", options));
        assert!(output.status.success(), "{}", describe(&output));
    }
}

#[test]
fn memcheck_names_who_loses() {
    if !available_or_skip("valgrind") {
        return;
    }
    let output = finished(memcheck("leaking").env("STRATA_CONF", SYSTEM));
    assert_eq!(output.status.code(), Some(99), "{}", describe(&output));
    expect_all_named(&describe(&output));
}

#[test]
fn heaptrack_names_who_loses() {
    if !available_or_skip("heaptrack") || !available_or_skip("heaptrack_print") {
        return;
    }
    let folder = scratch().join(format!("heaptrack-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("creating the directory");
    let mut command = plain("heaptrack", 240);
    command.arg("--output").arg(folder.join("blocks")).arg(program()).args(["leaking", "ours"]);
    command.env("LD_PRELOAD", library()).env("STRATA_CONF", SYSTEM);
    succeed(&mut command);
    let recorded = fs::read_dir(&folder).expect("reading the directory").next();
    let recorded = recorded.expect("a file").expect("a name").path();
    let arguments = ["--print-leaks=1", "--print-peaks=0", "--print-allocators=0"];
    let mut print = plain("heaptrack_print", 120);
    let leaks = succeed(print.args(arguments).arg("--file").arg(recorded));
    fs::remove_dir_all(&folder).expect("removing the directory");
    expect_all_named(&leaks);
}

/// Whether the compiler has this library of a sanitizer.
fn compiler_has(sanitizer: &str) -> bool {
    let mut command = Command::new("cc");
    let path = succeed(command.arg(format!("-print-file-name={sanitizer}")));
    let found = Path::new(path.trim()).is_absolute();
    assert!(found || std::env::var_os("CI").is_none(), "{sanitizer} is not installed");
    if !found {
        eprintln!("SKIPPED: {sanitizer} is not installed");
    }
    found
}

/// The sanitizer's allocator is behind the library.
#[test]
fn leak_sanitizer_names_who_loses() {
    if !compiler_has("liblsan.so") {
        return;
    }
    let program = compile("tools.cc", ".lsan", &["-fsanitize=leak"]);
    let mut command = preloaded(&program, 120);
    let output = finished(command.args(["leaking", "ours"]).env("STRATA_CONF", SYSTEM));
    assert_eq!(output.status.code(), Some(23), "{}", describe(&output));
    expect_all_named(&describe(&output));
    let mut command = preloaded(&program, 120);
    expect_ok(command.args(["matching", "ours"]).env("STRATA_CONF", SYSTEM));
}

/// glibc's checking allocator in front of the library: it defines some of the
/// functions, and its `free` must get no block of the others.
#[test]
fn behind_glibcs_checks() {
    let both = format!("LD_PRELOAD=libc_malloc_debug.so.0:{}", library().display());
    for (check, options) in [("1", ""), ("3", ""), ("3", SYSTEM)] {
        let mut command = plain("env", 60);
        command.arg(&both).arg(format!("MALLOC_CHECK_={check}")).env("STRATA_CONF", options);
        expect_ok(command.arg(program()).args(["matching", "ours"]));
    }
}

#[test]
fn handed_over() {
    expect_ok(preloaded(program(), 60).args(["handed_over", "ours"]).env("STRATA_CONF", SYSTEM));
}

/// C's rules hold as under glibc, whose `posix_memalign` sets `errno`, which has no
/// largest alignment, and which may move a block that keeps its size.
#[test]
fn rules_hold_when_handed_over() {
    for source in ["edges.c", "realloc.c", "operators.cc", "replaced.cc"] {
        let program = compile(source, ".system", &[]);
        for case in succeed(&mut plain(&program, 10)).lines() {
            if !["refused_sizes", "too_large_alignments", "same_size_stays"].contains(&case) {
                let mut command = preloaded(&program, 120);
                expect_ok(command.args([case, "ours"]).env("STRATA_CONF", SYSTEM));
            }
        }
    }
}

/// A static program has no other allocator, and says so.
#[test]
fn nobody_to_hand_over_to() {
    let flags = ["-static", "-L", libraries().to_str().expect("a UTF-8 path"), "-l:libstrata.a"];
    let program = compile("linking.c", ".static-system", &flags);
    let output = finished(plain(&program, 60).env("STRATA_CONF", SYSTEM));
    let line = b"strata: system: the process has no other allocator\n";
    assert!(
        output.status.success() && output.stdout == b"ok\n" && output.stderr == line,
        "{}",
        describe(&output)
    );
}

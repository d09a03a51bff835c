//! What a program does to guarded blocks that it may not ends it, with both stacks of the block: the
//! library is preloaded, and the option is all that asks for it.

use capi_tests::{compile, describe, preloaded};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

static PROGRAM: LazyLock<PathBuf> =
    LazyLock::new(|| compile("guarded.c", "", &["-O1", "-fno-omit-frame-pointer"]));

fn run(program: &Path, case: &str) -> Output {
    let mut command = preloaded(program, 120);
    command.arg(case).env("STRATA_CONF", "guarded:1").output().expect("`timeout` starts")
}

/// Each misuse: how its report begins, how far from the block, and whether it was freed.
const MISUSES: [(&str, &str, usize, bool); 8] = [
    ("read-after-free", "use after free: access to ", 50, true),
    ("write-after-free", "use after free: access to ", 50, true),
    ("overflow", "overflow: access to ", 112, false),
    ("overflow-by-1", "free(): corrupted block, written beyond its end or before its s", 0, false),
    ("written-before", "free(): corrupted block, written beyond its end or before its ", 0, false),
    ("twice", "free(): double free detected, the block is free already: pointer ", 0, true),
    ("realloc-freed", "free(): double free detected, the block is free already: point", 0, true),
    ("middle", "free(): invalid pointer, into the middle of a block: pointer ", 16, false),
];

/// The frames of a stack in a report.
fn stack<'a>(report: &'a str, begin: &str) -> Vec<&'a str> {
    let lines = report.lines().skip_while(|line| !line.starts_with(begin)).skip(1);
    lines.map_while(|line| line.strip_prefix("strata:   ")).collect()
}

fn number(text: &str) -> usize {
    usize::from_str_radix(text.trim_start_matches("0x"), 16).expect("a hexadecimal number")
}

/// Whether a stack has a call in the function that starts at an address, and names the program.
fn has(stack: &[&str], function: usize) -> bool {
    stack.iter().any(|frame| {
        let (at, object) = frame.split_once(' ').expect("an address and an object");
        (function..function + 64).contains(&number(at)) && object.starts_with("guarded")
    })
}

#[test]
fn each_misuse_is_reported_with_both_stacks() {
    for (case, begin, offset, is_freed) in MISUSES {
        let output = run(&PROGRAM, case);
        let said = String::from_utf8_lossy(&output.stdout);
        let words: Vec<usize> = said.split_whitespace().map(number).collect();
        let [block, allocation, free] = words[..] else { panic!("{}", describe(&output)) };
        let report = String::from_utf8_lossy(&output.stderr);
        let begin = format!("strata: {begin}");
        let at = format!("0x{:x}", block + offset);
        let is_there = report.lines().any(|line| line.starts_with(&begin) && line.contains(&at));
        assert!(is_there, "{case}: {}", describe(&output));
        let allocated = stack(&report, "strata: allocated by thread ");
        let freed = stack(&report, "strata: freed by thread ");
        assert!(has(&allocated, allocation), "{case}: {}", describe(&output));
        assert_eq!(has(&freed, free), is_freed, "{case}: {}", describe(&output));
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    let output = run(&PROGRAM, "fine");
    assert!(output.status.success() && output.stdout == b"ok\n", "{}", describe(&output));
}

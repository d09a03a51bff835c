//! Little memory: little address space (`ulimit -v`), few mappings, unusual
//! memory layouts.

use capi_tests::{available_or_skip, cases, expect_ok, library, plain, preloaded, succeed};
use std::process::Command;

cases! {
    "limits.c" [], 120 seconds;
    both: later_limit limited_data mappings_used_up few_mappings_left;
    ours:;
    by_hand: small_blocks smallest_blocks medium_blocks page_runs large_blocks huge_blocks
        mixed_blocks hardly_any threads_until_failure few_mappings_left_and_locked
        accounted;
}

/// A command that runs shell commands to set limits, and then a case with the
/// library preloaded.
fn after(setting: &str, case: &str) -> Command {
    let script = format!("{setting}; LD_PRELOAD=\"$1\" exec \"$0\" \"$2\" ours");
    let mut command = plain("sh", 120);
    command.args(["-c", &script]).arg(program()).arg(library()).arg(case);
    command
}

/// The same with glibc's allocator.
fn glibc_after(setting: &str, case: &str) -> Command {
    let mut command = plain("sh", 120);
    command.args(["-c", &format!("{setting}; exec \"$0\" \"$1\" glibc")]).arg(program()).arg(case);
    command
}

/// Generates tests of cases under a limit.
macro_rules! limited {
    ($($setting:literal: $($case:ident)*;)*) => {$($(
        #[test]
        fn $case() {
            expect_ok(&mut glibc_after($setting, stringify!($case)));
            expect_ok(&mut after($setting, stringify!($case)));
        }
    )*)*};
}

limited! {
    "ulimit -v 262144": small_blocks smallest_blocks medium_blocks page_runs large_blocks
        huge_blocks mixed_blocks;
    "ulimit -v 65536": hardly_any;
    "ulimit -v 204800": threads_until_failure;
}

/// Whether this process, and what it starts, may lock as much memory as it likes.
fn may_lock() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|bits| bits >> CAP_IPC_LOCK & 1 != 0)
}

#[test]
fn few_mappings_left_and_locked() {
    if !may_lock() {
        assert!(std::env::var_os("CI").is_none(), "memory may not be locked");
        eprintln!("SKIPPED: memory may not be locked");
        return;
    }
    expect_ok(&mut glibc_after("true", "few_mappings_left_and_locked"));
    expect_ok(&mut after("true", "few_mappings_left_and_locked"));
}

#[test]
fn little_is_accounted_for() {
    let kib = |command: &mut Command| -> i64 {
        let said = succeed(command);
        let number = said.lines().next().and_then(|line| line.strip_suffix(" KiB"));
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("unexpected output: {said}"))
    };
    let without = kib(plain(program(), 10).args(["accounted", "glibc"]));
    let with = kib(preloaded(program(), 10).args(["accounted", "ours"]));
    assert!(with - without < 16 << 10, "{without} KiB without the library, {with} KiB with it");
}

#[test]
fn stacks_without_limit() {
    // The kernel then allocates addresses from the bottom up.
    for case in ["later_limit", "mappings_used_up"] {
        expect_ok(&mut after("ulimit -s unlimited || exit 1", case));
    }
}

#[test]
fn addresses_as_they_come() {
    if !available_or_skip("setarch") {
        return;
    }
    let mut command = plain("setarch", 120);
    command.arg("-R").arg("env").arg(format!("LD_PRELOAD={}", library().display()));
    expect_ok(command.arg(program()).args(["later_limit", "ours"]));
}

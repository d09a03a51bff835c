//! Failing system calls, injected by strace, or by a filter of the kernel.

use capi_tests::{available_or_skip, cases, describe, library, plain, preloaded};
use std::process::Command;

cases! {
    "faults.c" [], 60 seconds;
    both:; ours:;
    by_hand: give_back_fails some_fail other_kernel many_mappings;
}

/// A command that runs a case in which these calls fail: all of them, or every
/// `each`-th. Those during process start succeed.
fn failing(calls: &str, each: u32, case: &str) -> Command {
    let mut command = plain("strace", 120);
    let passed = if each == 1 { "150+".to_owned() } else { format!("150+{each}") };
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none"]);
    command.args(["-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:error=ENOMEM:when={passed}")]);
    command.args(["-E", &format!("LD_PRELOAD={}", library().display())]);
    command.arg(program()).args([case, "ours"]).env("FAULTS", calls);
    command
}

fn expect_success(mut command: Command) {
    let output = command.output().expect("the program starts");
    let well = output.status.success() && output.stdout == b"ok\n" && output.stderr.is_empty();
    assert!(well, "{command:?}\n{}", describe(&output));
}

/// Whether strace is installed and permitted to trace.
fn can_trace() -> bool {
    available_or_skip("strace") && {
        let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
        let allowed = traced.is_ok_and(|status| status.success());
        assert!(allowed || std::env::var_os("CI").is_none(), "strace is not permitted to trace");
        if !allowed {
            eprintln!("SKIPPED: strace is not permitted to trace");
        }
        allowed
    }
}

#[test]
fn give_back_fails() {
    if !can_trace() {
        return;
    }
    for calls in ["madvise", "munmap", "mremap", "madvise,munmap", "madvise,munmap,mremap"] {
        expect_success(failing(calls, 1, "give_back_fails"));
    }
}

#[test]
fn some_fail() {
    if !can_trace() {
        return;
    }
    for calls in
        ["mmap", "mprotect", "madvise,munmap,mremap", "mmap,mprotect,madvise,munmap,mremap"]
    {
        for each in [3, 4, 7] {
            expect_success(failing(calls, each, "some_fail"));
        }
    }
}

#[test]
fn other_kernel() {
    let calls = [
        "madvise",
        "munmap",
        "mremap",
        "mincore",
        "prlimit64",
        "prctl",
        "clock_gettime",
        "sched_getaffinity",
        "sched_yield",
        "getcpu",
    ];
    const ENOSYS: &str = "38";
    const EPERM: &str = "1";
    const SUCCESS: &str = "0";
    for call in calls {
        // glibc starts no thread where limits are answered without being told.
        let answers = if call == "prlimit64" {
            [ENOSYS, EPERM].as_slice()
        } else {
            &[ENOSYS, EPERM, SUCCESS]
        };
        for answer in answers {
            let mut command = preloaded(program(), 60);
            command.args(["other_kernel", "ours"]).env("FAULTS", call).env("ANSWER", answer);
            expect_success(command);
        }
    }
}

/// What the helper reads is read by no other thread: without it, nobody does.
#[test]
fn many_mappings() {
    if !can_trace() {
        return;
    }
    let mut command = plain("strace", 120);
    command.args(["-f", "-qq", "-e", "signal=none", "-e", "trace=access,openat"]);
    command.args(["-E", &format!("LD_PRELOAD={}", library().display())]);
    command.args(["-E", "STRATA_CONF=helper:false"]).arg(program()).args(["many_mappings", "ours"]);
    let output = command.output().expect("strace starts");
    let trace = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"ok\n", "{}", describe(&output));
    let (_, opened) = trace.split_once("/mark").expect("the mark");
    for file in ["max_map_count", "transparent_hugepage"] {
        assert!(!opened.contains(file), "{opened}");
    }
}

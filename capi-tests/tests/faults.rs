//! System calls that fail, made to by strace.

use capi_tests::{available_or_skip, cases, describe, library, plain};
use std::process::Command;

cases! {
    "faults.c" [], 60 seconds;
    both:; ours:;
    by_hand: give_back_fails some_fail;
}

/// A run of a case in which these calls fail: all of them, or each so many-th.
/// Those that start the process pass.
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
    let output = command.output().expect("it starts");
    let well = output.status.success() && output.stdout == b"ok\n" && output.stderr.is_empty();
    assert!(well, "{command:?}\n{}", describe(&output));
}

/// Whether strace is there, and allowed to trace.
fn can_trace() -> bool {
    available_or_skip("strace") && {
        let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
        let allowed = traced.is_ok_and(|status| status.success());
        assert!(allowed || std::env::var_os("CI").is_none(), "strace may not trace");
        if !allowed {
            eprintln!("SKIPPED: strace may not trace here");
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

//! What a program says on a signal and before it dies, with the library preloaded.

use capi_tests::{cases, describe, preloaded, scratch};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

cases! {
    "reports.c" [], 120 seconds;
    both:; ours: untouched;
    by_hand: asked goes_on terminated own_handler storm in_slow_paths held_back refused;
}

const TABLE: &str = "strata: Memory of the process, by what it is held for:\n";
const BUSY: &str = "strata: no report on this signal: another thread is writing one\n";
const MISSED: &str = " parts of the heap were being changed: their free memory is in other rows.\n";

fn run(case: &str, options: &str) -> Output {
    let mut command: Command = preloaded(program(), 120);
    command.args([case, "ours"]).env("STRATA_CONF", options).output().expect("`timeout` starts")
}

/// Runs a case that must succeed, and returns what it said.
fn said(case: &str, options: &str) -> String {
    let output = run(case, options);
    assert!(output.status.success() && output.stdout == b"ok\n", "{}", describe(&output));
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// `timeout` dies as its child does, or reports it.
fn is_terminated(output: &Output) -> bool {
    output.status.signal() == Some(15) || output.status.code() == Some(128 + 15)
}

#[test]
fn asked() {
    let text = said("asked", "signal:USR2");
    assert!(text.starts_with(TABLE) && text.matches(TABLE).count() == 2, "{text}");
}

#[test]
fn goes_on() {
    let text = said("goes_on", "signal:USR2");
    assert!(text.matches(TABLE).count() >= 10, "{text}");
}

#[test]
fn terminated() {
    let output = run("terminated", "explain:exit");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(is_terminated(&output) && text.matches(TABLE).count() == 1, "{}", describe(&output));
    let output = run("terminated", "signal:USR2");
    assert!(is_terminated(&output) && output.stderr.is_empty(), "{}", describe(&output));
}

#[test]
fn own_handler() {
    let text = said("own_handler", "signal:USR2,explain:exit");
    // That of the exit.
    assert_eq!(text.matches(TABLE).count(), 1, "{text}");
}

#[test]
fn storm() {
    let text = said("storm", "signal:USR2,explain:exit");
    let (tables, busy) = (text.matches(TABLE).count(), text.matches(BUSY).count());
    println!("{tables} reports, {busy} while another was written");
    assert!(tables >= 50 && tables + busy <= 1000 + 2 * 20 + 1, "{tables} {busy}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn in_slow_paths() {
    let text = said("in_slow_paths", "signal:USR2");
    let tables = text.matches(TABLE).count();
    println!("{tables} reports, {} without all locks", text.matches(MISSED).count());
    assert!(tables > 500 && !text.contains(BUSY), "{tables}");
    assert!(text.contains(MISSED), "no report interrupted the holder of a lock");
}

#[test]
#[cfg(not(target_arch = "x86_64"))]
fn in_slow_paths() {
    said("in_slow_paths", "signal:USR2");
}

#[test]
fn held_back() {
    for mode in ["hardened:true,", ""] {
        let text = said("held_back", &format!("{mode}hard_limit:64m"));
        assert!(text.is_empty(), "{mode}: {text}");
    }
}

#[test]
fn refused() {
    let name = scratch().join(format!("reports.{}.log", std::process::id()));
    for mode in ["hardened:true,", ""] {
        let options = format!("{mode}hard_limit:64m,log_file:{}", name.display());
        let text = said("refused", &options);
        assert!(text.starts_with("strata: no memory for a block of 31457280 bytes: "), "{text}");
        assert_eq!(text.matches("strata: ").count(), 1, "{text}");
        let log = fs::read_to_string(&name).expect("the log");
        assert!(log.starts_with("strata: process ") && log.ends_with(&text), "{log}\n{text}");
        fs::remove_file(&name).expect("the log");
    }
}

//! With the feature `system`, a tool that knows the system's allocator finds the
//! blocks that a program loses, and nothing wrong with those that it frees.

mod common;

use std::path::PathBuf;
use std::process::Command;

/// Builds the example `leaking` with the feature, into a folder of its own: the feature
/// is for none of the other tests.
fn leaking() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("system");
    let built = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--offline", "--features", "system", "--example", "leaking"])
        .args(["--config", "profile.dev.panic='unwind'", "--target-dir"])
        .arg(&target)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/examples/leaking")
}

#[test]
fn memcheck_names_who_loses() {
    let found = Command::new("valgrind").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "valgrind is not installed");
        eprintln!("SKIPPED: valgrind is not installed");
        return;
    }
    let mut command = Command::new("timeout");
    command.args(["300", "valgrind", "--leak-check=full", "--error-exitcode=99"]).arg(leaking());
    let ended = common::Ended::from(command.output().unwrap());
    assert!(!ended.ok && ended.out.contains("live: 0"), "{}\n{}", ended.out, ended.err);
    for name in ["loses_a_vector", "loses_a_string", "loses_aligned"] {
        assert!(ended.err.contains(name), "{name} is missing:\n{}", ended.err);
    }
    for wrong in ["Invalid", "Mismatched", "uninitialised"] {
        assert!(!ended.err.contains(wrong), "{}", ended.err);
    }
}

//! The functions of the header: numbers, limits, the heap profile.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use capi_tests::{
    available_or_skip, compile, expect_ok, libraries, plain, repository, scratch, succeed,
};

/// The program is linked with the library, and keeps frame pointers for the profile.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = libraries().to_str().expect("a UTF-8 path");
        let include = repository().join("allocator-capi/include");
        let include = format!("-I{}", include.to_str().expect("a UTF-8 path"));
        let rpath = format!("-Wl,-rpath,{folder}");
        let frames = "-fno-omit-frame-pointer";
        let flags =
            [&include, frames, "-fno-optimize-sibling-calls", "-L", folder, "-lstrata", &rpath];
        compile("control.c", "", &flags)
    })
}

fn expect(case: &str) {
    expect_ok(plain(program(), 60).args([case, "ours"]));
}

#[test]
fn all_cases_are_run() {
    let list = succeed(&mut plain(program(), 10));
    let run = ["version", "numbers", "little_room", "purging", "limits", "profiled"];
    assert_eq!(list.lines().collect::<Vec<_>>(), run);
}

#[test]
fn version() {
    expect("version");
}

#[test]
fn numbers() {
    expect("numbers");
}

#[test]
fn little_room() {
    expect("little_room");
}

#[test]
fn purging() {
    expect("purging");
}

#[test]
fn limits() {
    let output = plain(program(), 60).args(["limits", "ours"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"ok\n", "{errors}");
    // The first refusal is reported.
    assert!(errors.starts_with("strata: no memory for a block of 52428800 bytes"), "{errors}");
}

/// The profile of a program that keeps 60 MB in one function and 20 MB in another, both called by
/// a third.
fn profile() -> PathBuf {
    let file = scratch().join(format!("control.{}.heap", std::process::id()));
    expect_ok(plain(program(), 60).args(["profiled", "ours"]).env("STRATA_TEST_PROFILE", &file));
    file
}

#[test]
fn the_profile_names_who_keeps_memory() {
    let file = profile();
    let text = fs::read_to_string(&file).unwrap();
    let (head, rest) = text.split_once('\n').expect("a line");
    assert!(head.starts_with("heap profile: ") && head.ends_with("@ heapprofile"), "{head}");
    assert!(rest.contains("\nMAPPED_LIBRARIES:\n") && rest.contains("libstrata"), "{rest}");
    for (reader, args) in [
        ("google-pprof", &["--text", "--cum", "--inuse_space"][..]),
        ("go", &["tool", "pprof", "-top", "-cum", "-unit=MB", "-sample_index=inuse_space"]),
    ] {
        // The nightly run installs what is large.
        let is_wanted = reader != "go" || std::env::var_os("STRATA_NIGHTLY").is_some();
        if !is_wanted || !available_or_skip(reader) {
            continue;
        }
        let mut command = Command::new(reader);
        command.args(args).arg(program()).arg(&file).env("PPROF_TMPDIR", scratch());
        let table = succeed(&mut command);
        for (function, truth) in [("keeps_much", 60.0), ("keeps_little", 20.0), ("profiled", 80.0)]
        {
            let row = table.lines().find(|line| line.contains(function));
            let row = row.unwrap_or_else(|| panic!("{reader}: no {function} in\n{table}"));
            // Flat, its share, the sum so far, cumulative, its share, the name.
            let number = row.split_whitespace().nth(3).unwrap().trim_end_matches("MB");
            let megabytes: f64 = number.parse().unwrap_or_else(|_| panic!("{reader}: {row}"));
            assert!((megabytes / truth - 1.0).abs() < 0.15, "{reader}: {row}");
        }
    }
    fs::remove_file(file).unwrap();
}

//! `STRATA_CONF`: the options, the warnings about mistakes, and the processes
//! that ignore it.

use capi_tests::{
    available_or_skip, cases, compile, describe, expect_ok, libraries, plain, preloaded,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

cases! {
    "settings.c" [], 60 seconds;
    both:; ours: by_the_helper;
    by_hand: goes_on explained guarded guarded_and_aligned without_helper more_rights refused
        ends_at_once;
}

const KEYS: &[&str] = &[
    "explain",
    "guarded",
    "hard_limit",
    "hardened",
    "help",
    "helper",
    "huge_guards",
    "limit",
    "log_file",
    "profile_file",
    "signal",
    "stats",
    "system",
    "thp",
    "verbose",
];

/// A command that runs a case with options.
fn set(options: &str, case: &str) -> Command {
    let mut command = preloaded(program(), 60);
    command.args([case, "ours"]).env("STRATA_CONF", options);
    command
}

/// Runs a command, expects success, and returns its standard error.
fn stderr_of(command: &mut Command) -> String {
    let output = command.output().expect("`timeout` of the coreutils starts");
    assert!(
        output.status.success() && output.stdout == b"ok\n",
        "{command:?}\n{}",
        describe(&output)
    );
    String::from_utf8(output.stderr).expect("UTF-8 output")
}

/// The line of the list for a key.
fn line_of<'a>(list: &'a str, key: &str) -> &'a str {
    let named = |line: &&str| line.split_whitespace().nth(1) == Some(key);
    let line = list.lines().find(named);
    line.unwrap_or_else(|| panic!("no {key} in\n{list}"))
}

#[test]
fn goes_on() {
    for nothing in ["", ",", ",,,"] {
        expect_ok(&mut set(nothing, "goes_on"));
    }
    expect_ok(preloaded(program(), 60).args(["goes_on", "ours"]).env_remove("STRATA_CONF"));
    expect_ok(&mut set(
        "explain:never,help:false,helper:true,huge_guards:false,stats:never",
        "goes_on",
    ));
}

#[test]
fn help_lists_all_keys() {
    let list = stderr_of(&mut set("help:true", "goes_on"));
    for key in KEYS {
        let line = line_of(&list, key);
        let default = match *key {
            "guarded" | "hard_limit" | "limit" | "log_file" | "profile_file" | "signal" => "none",
            "helper" => "true",
            "explain" | "stats" => "never",
            "thp" => "auto",
            _ => "false",
        };
        let now = if *key == "help" { "true" } else { default };
        assert!(line.contains(&format!("default {default}")), "{line}");
        assert!(line.contains(&format!("now {now}")), "{line}");
    }
    assert_eq!(list.lines().count(), KEYS.len() + 1, "{list}");
}

#[test]
fn help_tells_what_is_in_force() {
    for options in
        ["huge_guards:true,help:true,helper:false", "help:true,huge_guards:true,helper:false"]
    {
        let list = stderr_of(&mut set(options, "goes_on"));
        assert!(line_of(&list, "huge_guards").contains("now true"), "{list}");
        assert!(line_of(&list, "helper").contains("now false"), "{list}");
    }
}

#[test]
fn unknown_keys() {
    for (wrong, nearest) in [
        ("huge_gards", "huge_guards"),
        ("hugeguards", "huge_guards"),
        ("helpr", "help"),
        ("helpers", "helper"),
        ("explains", "explain"),
        ("status", "stats"),
        ("signals", "signal"),
        ("logfile", "log_file"),
    ] {
        for value in [":true", ":", "", ":a:b"] {
            let warning = stderr_of(&mut set(&format!("{wrong}{value}"), "goes_on"));
            assert_eq!(warning.lines().count(), 1, "{warning}");
            assert!(warning.contains(wrong) && warning.contains(nearest), "{warning}");
            assert!(
                warning.starts_with("strata: ") || warning.contains("STRATA_CONF"),
                "{warning}"
            );
        }
    }
    let long = "x".repeat(10_000);
    let warning = stderr_of(&mut set(&format!("{long}:true"), "goes_on"));
    assert!(warning.lines().count() == 1 && warning.len() < 1000, "{warning}");
    let many = stderr_of(&mut set("abc:true,huge_guards:true,def:1,help:true", "goes_on"));
    assert_eq!(many.lines().filter(|line| line.contains("help:true lists")).count(), 2, "{many}");
    // Nothing is near.
    for far in ["background_threads", "nonsense", "abc", "x"] {
        let warning = stderr_of(&mut set(far, "goes_on"));
        assert!(warning.contains("help:true") && !warning.contains("nearest"), "{warning}");
    }
    assert!(line_of(&many, "huge_guards").contains("now true"), "{many}");
}

#[test]
fn wrong_values() {
    for wrong in ["yes", "1", "TRUE", "", "true ", "truefalse", "true:false"] {
        let warning = stderr_of(&mut set(&format!("huge_guards:{wrong}"), "goes_on"));
        assert_eq!(warning.lines().count(), 1, "{warning}");
        assert!(warning.contains("huge_guards") && warning.contains(wrong), "{warning}");
    }
    for wrong in ["KILL", "TERM", "12", "SIG", "USR3"] {
        let warning = stderr_of(&mut set(&format!("signal:{wrong}"), "goes_on"));
        assert_eq!(warning.lines().count(), 1, "{warning}");
        let says = "signal must be none, HUP, QUIT, USR1, USR2 or WINCH, not ";
        assert!(warning.contains(says) && warning.contains(wrong), "{warning}");
    }
    let long = format!("log_file:/{}", "x".repeat(255));
    let warning = stderr_of(&mut set(&long, "goes_on"));
    assert!(warning.contains("log_file must be a path of at most 255 bytes or none"), "{warning}");
    let warning = stderr_of(&mut set("stats:true", "goes_on"));
    assert!(warning.lines().count() == 1 && warning.contains("exit"), "{warning}");
    for wrong in
        ["64mb", "101%", "5i", "-1", "1.5g", "m", "", "18446744073709551616", "17179869184g", "all"]
    {
        let warning = stderr_of(&mut set(&format!("hard_limit:{wrong}"), "goes_on"));
        assert_eq!(warning.lines().count(), 1, "{warning}");
        assert!(
            warning.contains("hard_limit must be a size") && warning.contains(wrong),
            "{warning}"
        );
    }
    // Bytes that are not UTF-8 are accepted and reported.
    use std::os::unix::ffi::OsStrExt;
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe:\xfd");
    let mut command = set("", "goes_on");
    let output = command.env("STRATA_CONF", bytes).output().expect("the program starts");
    assert!(output.status.success() && output.stdout == b"ok\n", "{}", describe(&output));
    assert_eq!(
        output.stderr.iter().filter(|byte| **byte == b'\n').count(),
        1,
        "{}",
        describe(&output)
    );
}

#[test]
fn guarded() {
    expect_ok(&mut set("huge_guards:true", "guarded"));
}

#[test]
fn guarded_and_aligned() {
    expect_ok(&mut set("huge_guards:true", "guarded_and_aligned"));
}

#[test]
fn without_helper() {
    expect_ok(&mut set("helper:false", "without_helper"));
}

#[test]
fn refused() {
    for options in ["hard_limit:64m", "limit:32m,hard_limit:65536K"] {
        let said = stderr_of(&mut set(options, "refused"));
        // Once, though many are refused.
        assert_eq!(said.matches("strata: no memory for a block of ").count(), 1, "{said}");
        assert!(said.contains("the hard limit is 67108864, and "), "{said}");
    }
}

#[test]
fn limits_are_listed_readably() {
    let list = stderr_of(&mut set("help:true,limit:1048576k,hard_limit:1610612736", "goes_on"));
    assert!(line_of(&list, "limit").contains("default none, now 1g:"), "{list}");
    assert!(line_of(&list, "hard_limit").contains("default none, now 1536m:"), "{list}");
    for none in ["0", "none", "0k"] {
        let list = stderr_of(&mut set(&format!("hard_limit:{none},help:true"), "goes_on"));
        assert!(line_of(&list, "hard_limit").contains("now none:"), "{list}");
    }
}

#[test]
fn names_of_other_allocators() {
    for (name, says) in [
        ("background_thread:true", "helper"),
        ("dirty_decay_ms:1000", "within a second"),
        ("prof:true", "profile"),
        ("show_stats=1", "stats:exit"),
    ] {
        let warning = stderr_of(&mut set(name, "goes_on"));
        assert!(warning.lines().count() == 1 && warning.contains(says), "{warning}");
        assert!(!warning.contains("nearest"), "{warning}");
    }
}

#[test]
fn variables_of_other_allocators() {
    let with = |options: &str| {
        let mut command = set(options, "goes_on");
        command.env("MALLOC_CONF", "prof:true").env("MIMALLOC_SHOW_STATS", "1");
        stderr_of(&mut command)
    };
    assert_eq!(with("verbose:false"), "");
    let said = with("verbose:true,limit=3m");
    assert_eq!(said.lines().count(), 3, "{said}");
    let first = said.lines().next().expect("a line");
    assert!(first.contains("version") && first.contains("limit:3m"), "{said}");
    for (name, whose) in [("MALLOC_CONF", "jemalloc"), ("MIMALLOC_SHOW_STATS", "mimalloc")] {
        let line =
            said.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains(whose) && line.contains("no effect"), "{said}");
    }
}

#[test]
fn an_equals_sign_is_a_colon() {
    let list = stderr_of(&mut set("help=true,limit=512MiB,hard_limit:1Gi", "goes_on"));
    assert!(line_of(&list, "limit").contains("now 512m:"), "{list}");
    assert!(line_of(&list, "hard_limit").contains("now 1g:"), "{list}");
}

/// In a control group with a limit; elsewhere the line says that there is none.
#[test]
fn parts_of_the_container() {
    let list = stderr_of(&mut set("help:true,limit:80%", "goes_on"));
    let now = line_of(&list, "limit");
    let refused = list.contains("limit:80% has no effect: the container has no memory limit");
    assert_eq!(refused, now.contains("now none"), "{list}");
}

#[test]
fn numbers_at_exit() {
    let numbers = stderr_of(&mut set("stats:exit", "goes_on"));
    assert!(numbers.contains("live") && numbers.contains("bytes"), "{numbers}");
}

/// A row of the table in bytes; the table is in KiB.
fn row(table: &str, name: &str) -> f64 {
    let rest = table.lines().find_map(|line| line.trim_start().strip_prefix(name));
    let rest = rest.unwrap_or_else(|| panic!("no {name} in\n{table}"));
    let (number, _) = rest.split_once(" KiB").expect("a unit");
    number.trim().parse::<f64>().expect("a number") * 1024.0
}

#[test]
fn explained() {
    let table = stderr_of(&mut set("explain:exit", "explained"));
    assert_eq!(table.matches("strata: Memory of the process").count(), 1, "{table}");
    let rows = [
        "live, up to 32 KiB",
        "live, above 32 KiB",
        "rounding to classes",
        "thread caches",
        "free blocks in spans",
        "free spans",
        "free runs and mappings",
        "waiting for purge",
        "tables and records",
        "clean, in huge pages",
        "not the allocator's",
    ];
    let sum = rows.iter().map(|name| row(&table, name)).sum::<f64>();
    assert!((sum - row(&table, "all")).abs() < 1024.0, "{table}");
    // 8000 blocks of 1000 bytes, in class 1024; 40 blocks of 100,000 bytes.
    assert!((row(&table, rows[0]) / 8.0e6 - 1.0).abs() < 0.1, "{table}");
    assert!((row(&table, rows[1]) / 4.1e6 - 1.0).abs() < 0.1, "{table}");
    assert!((row(&table, rows[2]) / 192_000.0 - 1.0).abs() < 0.2, "{table}");
    // Both reports at exit, one after the other.
    let both = stderr_of(&mut set("explain:exit,stats:exit", "explained"));
    assert_eq!(both.matches("strata: Memory of the process").count(), 1, "{both}");
    assert_eq!(both.matches("strata: live ").count(), 1, "{both}");
    assert!(stderr_of(&mut set("explain:never", "explained")).is_empty());
}

#[test]
fn ends_at_once() {
    // `_exit` runs no exit handlers, so nothing is printed.
    expect_ok(&mut set("explain:exit,stats:exit", "ends_at_once"));
}

/// A program with the library linked in, in a directory that all users can
/// access.
fn for_anybody(folder: &Path) -> std::path::PathBuf {
    let archive = libraries().join("libstrata.a");
    let flags = [archive.to_str().expect("a UTF-8 path"), "-rdynamic"];
    let built = compile("settings.c", ".linked", &flags);
    let program = folder.join("settings");
    fs::copy(built, &program).expect("copying the program");
    program
}

#[test]
fn more_rights() {
    if !available_or_skip("setpriv") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("strata-rights-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("creating the directory");
    let program = for_anybody(&folder);
    if chown(&program, Some(65_533), Some(65_533)).is_err() {
        eprintln!("SKIPPED: only root can make a program setuid to another user");
        return;
    }
    let run = |case: &str| {
        let mut command = plain("setpriv", 60);
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.args([case, "ours"]).env("STRATA_CONF", "help:true,nonsense:true,stats:exit");
        command
    };
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&folder, everybody.clone()).expect("setting permissions");
    fs::set_permissions(&program, everybody).expect("setting permissions");
    // Without special privileges, it reads the options.
    let heard = stderr_of(&mut run("goes_on"));
    assert!(heard.contains("huge_guards") && heard.contains("nonsense"), "{heard}");
    // As a setuid program of another user, it does not.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).expect("setting permissions");
    let output = run("more_rights").output().expect("the program starts");
    let answer = describe(&output);
    fs::remove_dir_all(&folder).expect("removing the directory");
    if answer.contains("not setuid") {
        eprintln!("SKIPPED: the temporary directory is mounted nosuid");
        return;
    }
    assert!(output.status.success() && output.stdout == b"ok\n", "{answer}");
    assert!(output.stderr.is_empty(), "{answer}");
}

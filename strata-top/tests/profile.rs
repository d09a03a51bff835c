//! What `strata-top profile` says of a process is what the process says of itself.

mod targets;

use std::hint::black_box;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

use allocator_core::{Scope, Strata};
use capi_tests::available_or_skip;
use serde_json::{Value, json};
use strata_profile::Snapshot;
use targets::{Target, problem, stripped, top};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// In a child: whether it is to record anything.
const CASE: &str = "STRATA_TOP_PROFILED";

const KEPT: usize = 8 << 20;

/// The small blocks, and the list of them.
const SMALL: usize = KEPT + (KEPT >> 8) * size_of::<Vec<u8>>();

#[inline(never)]
fn keeps_small_blocks() -> Vec<Vec<u8>> {
    let kept = (0..KEPT >> 8).map(|_| black_box(vec![1; 1 << 8])).collect();
    // Not a call in the last place, which leaves no trace of this function.
    black_box(kept)
}

#[inline(never)]
fn keeps_one_large_block() -> Vec<u8> {
    let kept = black_box(vec![1; KEPT]);
    black_box(kept)
}

/// Records what it keeps, and says its own profile whenever it is asked to. It does not change
/// then.
#[test]
fn child() {
    let Some(case) = env::var_os(CASE) else { return };
    // SAFETY: a plain call.
    unsafe { libc::alarm(120) };
    let is_on = case == "on";
    if is_on {
        strata_profile::start(4 << 10);
    }
    let kept = (keeps_small_blocks(), Scope::new("tenant", 42).run(keeps_one_large_block));
    drop(keeps_one_large_block());
    strata_profile::stop();
    for line in io::stdin().lock().lines() {
        line.expect("text");
        let folded = if is_on { Snapshot::take().folded() } else { String::new() };
        let mut output = io::stdout().lock();
        writeln!(output, "{}", json!({ "folded": folded })).expect("somebody reads");
        output.flush().expect("somebody reads");
    }
    drop(kept);
}

fn target(program: &Path, case: &str) -> Target {
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(CASE, case);
    Target::start(&mut command)
}

fn this_program() -> std::path::PathBuf {
    env::current_exe().expect("the path of this program")
}

/// What the program says, with these options.
fn profile(target: &Target, options: &[&str]) -> String {
    let mut command = top();
    command.args(["profile", &target.pid().to_string()]).args(options);
    let output = command.output().expect("it starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
    String::from_utf8(output.stdout).expect("text")
}

/// The stacks with their bytes.
fn stacks(folded: &str) -> Vec<(&str, i64)> {
    let stacks = folded.lines().map(|line| line.rsplit_once(' ').expect("a number"));
    stacks.map(|(stack, bytes)| (stack, bytes.parse().expect("a number"))).collect()
}

fn assert_near(found: i64, exact: usize) {
    assert!((found - exact as i64).unsigned_abs() < exact as u64 / 20, "{found} for {exact}");
}

/// The bytes of all stacks that have all of these parts.
fn bytes_of(folded: &str, parts: &[&str]) -> i64 {
    let has_all = |stack: &str| parts.iter().all(|part| stack.contains(part));
    stacks(folded).into_iter().filter(|(stack, _)| has_all(stack)).map(|(_, bytes)| bytes).sum()
}

fn check_names(folded: &str) {
    assert_near(bytes_of(folded, &["keeps_small_blocks"]), SMALL);
    assert_near(bytes_of(folded, &["tenant:42;", "keeps_one_large_block"]), KEPT);
    // The one outside of the scope was freed.
    assert_eq!(bytes_of(folded, &["keeps_one_large_block"]), bytes_of(folded, &["tenant:42;"]));
}

#[test]
fn it_is_the_profile_of_the_process() {
    let mut target = target(&this_program(), "on");
    let own: Value = target.says();
    let own = own["folded"].as_str().expect("text");
    check_names(own);
    let seen = profile(&target, &["--folded"]);
    assert_eq!(stacks(&seen), stacks(own));
}

#[test]
fn it_is_written_in_all_forms() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = target(&this_program(), "on");
    let report = profile(&target, &[]);
    assert!(report.contains("one sample in") && report.contains("keeps_small_blocks"), "{report}");
    let [pprof, page] = ["pprof", "page"].map(|name| folder.path().join(name));
    let paths = [&pprof, &page].map(|path| path.to_str().expect("text"));
    assert!(profile(&target, &["--pprof", paths[0], "--page", paths[1]]).is_empty());
    let page = fs::read_to_string(&page).expect("it was written");
    assert!(page.contains("</html>") && page.contains("keeps_small_blocks"));
    let pprof = fs::read(&pprof).expect("it was written");
    assert!(pprof.starts_with(&[0x1f, 0x8b]) && pprof.len() > 1000);
    // Both at once.
    let folded = profile(&target, &["--folded", "--pprof", paths[0]]);
    check_names(&folded);
}

/// The file may be gone; the system still has it.
#[test]
fn a_deleted_program_has_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    fs::copy(this_program(), &program).expect("it is copied");
    let target = target(&program, "on");
    fs::remove_file(&program).expect("it is removed");
    check_names(&profile(&target, &["--folded"]));
}

/// Where there are no names, there are addresses, and all bytes.
#[test]
fn a_stripped_program_has_addresses() {
    if !available_or_skip("strip") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let target = target(&stripped(folder.path()), "on");
    let folded = profile(&target, &["--folded"]);
    assert!(!folded.contains("keeps_") && folded.contains(";0x"), "{folded}");
    let large = bytes_of(&folded, &["tenant:42;"]);
    assert_near(large, KEPT);
    assert!(bytes_of(&folded, &[]) - large > KEPT as i64 / 20 * 19);
}

#[test]
fn a_profile_that_was_never_on_is_none() {
    let target = target(&this_program(), "off");
    let output = top().args(["profile", &target.pid().to_string()]).output().expect("it starts");
    let said = problem(&output);
    assert!(said.contains("recorded nothing: switch it on"), "{said}");
}

#[test]
fn a_file_that_cannot_be_written_is_told() {
    let target = target(&this_program(), "on");
    let pid = target.pid().to_string();
    let output =
        top().args(["profile", &pid, "--pprof", "/nowhere/file"]).output().expect("it starts");
    assert!(problem(&output).starts_with("/nowhere/file: "));
}

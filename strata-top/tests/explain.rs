//! What `strata-top explain` says of a process that rests is what the process says of itself, to
//! the byte; and what it says where it cannot read one.

mod targets;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use allocator_core::{Strata, directory};
use capi_tests::available_or_skip;
use serde_json::Value;
use targets::{
    BLOCK, BLOCKS, HUGE, Target, agrees, check_same, explained, problem, readable, rest, stripped,
    top, wait_for,
};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

#[test]
fn child() {
    rest();
}

/// Live blocks of a class.
fn live_blocks(seen: &Value, block_bytes: usize) -> Option<u64> {
    let classes = seen["classes"].as_array().expect("a list");
    let class = classes.iter().find(|class| class["block_bytes"] == block_bytes);
    class.and_then(|class| class["live_blocks"].as_u64())
}

/// The heap of a target is the one that it was to make.
fn check_known(seen: &Value) {
    assert_eq!(live_blocks(seen, BLOCK), Some(BLOCKS as u64));
    assert_eq!(seen["huge_bytes"], HUGE);
    assert_eq!(seen["huge_blocks"], 1);
    let bytes = |key: &str| seen[key].as_u64().expect("a number");
    assert!(bytes("cached_bytes") > 0 && bytes("live_bytes") > (HUGE + BLOCKS * BLOCK) as u64);
    assert!(bytes("rss_bytes") > HUGE as u64, "{seen}");
    assert!(bytes("huge_page_bytes") <= bytes("rss_bytes"));
    assert_eq!(seen["copies"], 1);
}

#[test]
fn a_rust_program() {
    let mut target = Target::rust();
    let seen = agrees(&mut target);
    check_known(&seen);
    assert_eq!(seen["pid"], target.pid());
    assert!(seen["object"].as_str().is_some_and(|it| it.contains("/explain-")), "{seen}");
    assert!(seen["threads"].as_u64().is_some_and(|threads| threads >= 2), "{seen}");
}

#[test]
fn a_stripped_program() {
    if !available_or_skip("strip") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = stripped(folder.path());
    check_known(&agrees(&mut Target::of(&program)));
}

/// The file may be gone.
#[test]
fn a_deleted_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().expect("a path"), &program).expect("it is copied");
    let mut target = Target::of(&program);
    fs::remove_file(&program).expect("it is removed");
    check_known(&agrees(&mut target));
}

#[test]
fn a_c_program_with_the_library_preloaded() {
    let seen = agrees(&mut Target::c(""));
    check_known(&seen);
    assert!(seen["object"].as_str().is_some_and(|it| it.ends_with("/libstrata.so")), "{seen}");
}

#[test]
fn a_program_in_hardened_mode() {
    let seen = agrees(&mut Target::c("hardened:true"));
    // A block has a tag behind it, and so is of the next class. Free blocks are in stocks.
    assert_eq!(live_blocks(&seen, 22 << 10), Some(BLOCKS as u64));
    assert!(seen["cached_bytes"].as_u64() > Some(0), "{seen}");
    assert_eq!(seen["threads"], 0);
}

#[test]
fn limits() {
    let seen = agrees(&mut Target::c("limit:300MiB,hard_limit:1GiB"));
    assert_eq!(seen["limit_bytes"], 300 << 20);
    assert_eq!(seen["hard_limit_bytes"], 1 << 30);
}

/// A process that is stopped does nothing; what it said before is what is read.
#[test]
fn a_stopped_process() {
    let mut target = Target::rust();
    agrees(&mut target);
    let before = target.says();
    target.signal(libc::SIGSTOP);
    wait_for("it stops", || target.state() == 'T');
    let seen = explained(target.pid());
    assert_eq!(target.state(), 'T');
    target.signal(libc::SIGCONT);
    // The helper may have returned memory before it was stopped.
    let after = target.says();
    let own = if after == before { &before } else { &after };
    for key in ["live_bytes", "cached_bytes", "classes", "huge_bytes", "metadata_bytes"] {
        assert_eq!(own[key], seen[key], "{key}");
    }
}

#[test]
fn a_table() {
    let target = Target::rust();
    let output = top().args(["explain", &target.pid().to_string()]).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.starts_with(&format!("process {} (", target.pid())), "{text}");
    for name in
        ["\nlive ", "\ncommitted ", "\nRSS ", "\n  huge pages ", "\nsoft limit ", "\n20480 B "]
    {
        assert!(text.contains(name), "{name} in {text}");
    }
}

#[test]
fn a_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target::c("");
    let files = ["before", "after"].map(|name| folder.path().join(name));
    let mut seen = explained(target.pid());
    fs::write(&files[0], seen.to_string()).expect("it is written");
    seen["live_bytes"] = (seen["live_bytes"].as_u64().expect("a number") + (3 << 20)).into();
    seen["unix_time"] = (seen["unix_time"].as_f64().expect("a number") + 60.0).into();
    let classes = seen["classes"].as_array_mut().expect("a list");
    let class = classes.iter_mut().find(|class| class["block_bytes"] == BLOCK).expect("the class");
    class["live_blocks"] = (BLOCKS as u64 - 7).into();
    fs::write(&files[1], seen.to_string()).expect("it is written");
    let output = top().arg("diff").args(&files).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).expect(name);
    assert!(line("live").ends_with(" +3.0 MiB"), "{text}");
    assert!(line("20480 B").contains(" -7 "), "{text}");
    assert!(line("20480 B").ends_with(" -140.0 KiB"), "{text}");
    assert!(text.contains("60.0 s later"), "{text}");
    // It is nothing else.
    fs::write(&files[1], "{}").expect("it is written");
    let output = top().arg("diff").args(&files).output().expect("it starts");
    assert!(problem(&output).contains("not written by `strata-top explain PID --json`"));
}

fn refused(pid: i32) -> String {
    problem(&top().args(["explain", &pid.to_string()]).output().expect("it starts"))
}

#[test]
fn no_such_process() {
    let mut ended = Command::new("true").spawn().expect("true starts");
    let pid = ended.id().cast_signed();
    ended.wait().expect("it ends");
    assert_eq!(refused(pid), format!("there is no process {pid}"));
}

#[test]
fn a_process_on_another_allocator() {
    let mut other = readable(Command::new("sleep").arg("60")).spawn().expect("sleep starts");
    let pid = other.id().cast_signed();
    let said = refused(pid);
    other.kill().expect("it is ours");
    other.wait().expect("it is ours");
    assert!(said.starts_with(&format!("process {pid} is not on Strata")), "{said}");
}

/// The library is there, but serves nobody.
#[test]
fn an_unused_library() {
    let mut other = Command::new("sleep");
    other.arg("60").env("LD_PRELOAD", capi_tests::library());
    let other = readable(&mut other).env("STRATA_CONF", "system:true").stdout(Stdio::null());
    let mut other = other.spawn().expect("sleep starts");
    let mut said = String::new();
    // Until the loader is done.
    wait_for("it is loaded", || {
        said = refused(other.id().cast_signed());
        !said.contains("is not on Strata")
    });
    other.kill().expect("it is ours");
    other.wait().expect("it is ours");
    assert!(said.contains("libstrata.so") && said.contains("allocated nothing"), "{said}");
}

/// Both versions are named. The layout and the version are in the file as they are in memory.
#[test]
fn another_layout() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    let mut file = fs::read(std::env::current_exe().expect("a path")).expect("it is read");
    let head = [&directory::MAGIC[..], &directory::LAYOUT.to_ne_bytes()].concat();
    let at = file.windows(head.len()).position(|it| it == head).expect("the directory");
    file[at + 16..][..8].copy_from_slice(&7777_usize.to_ne_bytes());
    file[at + 24..][..6].copy_from_slice(b"77.7.7");
    fs::write(&program, file).expect("it is written");
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("it is ours");
    let target = Target::of(&program);
    let said = refused(target.pid());
    let layout = directory::LAYOUT;
    for part in ["Strata 77.7.7", "layout 7777", concat!("strata-top ", env!("CARGO_PKG_VERSION"))]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(said.contains(&format!("reads layout {layout}.")), "{said}");
}

/// Another user's process: the message says what to do.
#[test]
fn a_process_that_may_not_be_read() {
    // SAFETY: a plain call.
    let is_root = unsafe { libc::geteuid() } == 0;
    let said = if is_root {
        const NOBODY: u32 = 65534;
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
        let program = folder.path().join("strata-top");
        fs::copy(env!("CARGO_BIN_EXE_strata-top"), &program).expect("it is copied");
        let target = Target::rust();
        let mut command = Command::new(&program);
        command.args(["explain", &target.pid().to_string()]).uid(NOBODY).gid(NOBODY);
        problem(&command.output().expect("it starts"))
    } else {
        refused(1)
    };
    assert!(said.contains("may not be read: it belongs to another user"), "{said}");
    assert!(said.contains("root"), "{said}");
}

#[test]
fn no_terminal() {
    let target = Target::rust();
    let said = problem(&top().arg(target.pid().to_string()).output().expect("it starts"));
    assert!(said.starts_with("the live view needs a terminal"), "{said}");
}

/// A heap that changes all the while: each look is plausible.
#[test]
fn numbers_that_change_are_near() {
    let mut target = Target::rust();
    let own = target.says();
    let seen = explained(target.pid());
    let least = own["live_bytes"].as_u64().expect("a number");
    let live = seen["live_bytes"].as_u64().expect("a number");
    assert!(live.abs_diff(least) < 1 << 20, "{live}, {least}");
    // What is compared is compared.
    let mut other = own.clone();
    other["purges_total"] = (own["purges_total"].as_u64().expect("a number") + 1).into();
    assert!(std::panic::catch_unwind(|| check_same(&other, &own)).is_err());
}

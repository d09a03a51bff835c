//! What can only be seen from outside of a process, or in a fresh one: each
//! case runs alone in a process of its own.

mod probe;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// The case that a process was started for.
const CASE: &str = "STRATA_TEST_CASE";

/// Runs one case of [`the_case`] in a fresh process.
fn run(case: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_case", "--nocapture", "--test-threads=1"]);
    command.env(CASE, case).output().unwrap()
}

/// Runs the case that this process was started for, if any.
#[test]
fn the_case() {
    match std::env::var(CASE).as_deref() {
        Ok("abort") => {
            allocator_sys::write_stderr("last words: gräßlich\n".as_bytes());
            allocator_sys::abort();
        }
        Ok("closed") => write_to_closed_stderr(),
        Ok("unarmed") => arm_too_early(),
        Ok("limit") => run_into_the_limit(),
        Ok("descriptors") => use_up_descriptors(),
        _ => {}
    }
}

/// Nothing happens where there is no standard error.
fn write_to_closed_stderr() {
    // SAFETY: nobody else uses the descriptor in this process.
    unsafe { libc::close(libc::STDERR_FILENO) };
    probe::errno_kept(|| allocator_sys::write_stderr(b"unheard"));
}

/// Without a function for the ends of threads there is nothing to arm.
fn arm_too_early() {
    let value = std::ptr::dangling_mut();
    assert!(!probe::errno_kept(|| allocator_sys::arm_thread_exit(value)));
}

/// The limit is told, and enforced by the system.
fn run_into_the_limit() {
    let bytes = 4 << 30;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: reads the limit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0);
    let bytes = bytes as usize;
    assert_eq!(allocator_sys::address_limit(), Some(bytes));
    assert_eq!(probe::errno_kept(|| allocator_sys::reserve(bytes)), None);
    let at = probe::free_addresses(bytes / probe::page() / 8);
    // SAFETY: whole pages.
    let mapped = probe::errno_kept(|| unsafe { allocator_sys::map_at(at, bytes) });
    assert_eq!(mapped, Err(allocator_sys::MapError::NoMemory));
}

/// Without a descriptor to be had no file seems absent; and none is kept open.
fn use_up_descriptors() {
    let mut text = [0; 64];
    let mut read = || probe::errno_kept(|| allocator_sys::read_file(c"/proc/self/comm", &mut text));
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: reads the limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    for _ in 0..200 {
        assert!(read().is_ok());
    }
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/proc/self/comm") {
        files.push(file);
    }
    assert_eq!(read(), Err(allocator_sys::FileError::NoRoom));
    drop(files);
    assert!(read().is_ok());
}

#[test]
fn last_words_are_heard_before_the_abort() {
    let output = run("abort");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("last words: gräßlich\n"), "{text}");
}

#[test]
fn cases_in_fresh_processes_pass() {
    for case in ["closed", "unarmed", "limit", "descriptors"] {
        let output = run(case);
        assert!(output.status.success(), "{case}: {output:?}");
    }
}

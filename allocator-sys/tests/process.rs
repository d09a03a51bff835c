//! Behaviour that needs a fresh process or can only be observed from outside:
//! each case runs in a process of its own.

mod probe;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// Environment variable with the case that a process has to run.
const CASE: &str = "STRATA_TEST_CASE";

/// Runs one case of [`the_case`] in a fresh process.
fn run(case: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_case", "--nocapture", "--test-threads=1"]);
    command.env(CASE, case).output().unwrap()
}

/// Runs the case given in the environment, if any.
#[test]
fn the_case() {
    match std::env::var(CASE).as_deref() {
        Ok("abort") => {
            allocator_sys::write_stderr("message: gräßlich\n".as_bytes());
            allocator_sys::abort();
        }
        Ok("closed") => write_to_closed_stderr(),
        Ok("unarmed") => arm_too_early(),
        Ok("limit") => run_into_the_limit(),
        Ok("descriptors") => use_up_descriptors(),
        _ => {}
    }
}

/// Writing to a closed standard error has no effect.
fn write_to_closed_stderr() {
    // SAFETY: no one else uses the descriptor in this process.
    unsafe { libc::close(libc::STDERR_FILENO) };
    probe::errno_kept(|| allocator_sys::write_stderr(b"lost"));
}

/// Arming fails as long as no exit function is registered.
fn arm_too_early() {
    let value = std::ptr::dangling_mut();
    assert!(!probe::errno_kept(|| allocator_sys::arm_thread_exit(value)));
}

/// The limit is reported, and enforced by the system.
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

/// When descriptors run out, a file does not count as absent, and no descriptor
/// leaks.
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
fn messages_are_written_before_the_abort() {
    let output = run("abort");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("message: gräßlich\n"), "{text}");
}

#[test]
fn cases_in_fresh_processes_pass() {
    for case in ["closed", "unarmed", "limit", "descriptors"] {
        let output = run(case);
        assert!(output.status.success(), "{case}: {output:?}");
    }
}

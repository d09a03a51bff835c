//! Each system call of the allocator fails on the real system: once, and from then on, at each
//! place that makes it. Nothing is changed that a program holds, no call hangs, and when no call
//! fails any more, everything succeeds again and all memory goes back.
//!
//! A few of them by default. With `STRATA_NIGHTLY` set, all.
#![cfg(target_arch = "x86_64")]

#[path = "refused/tracer.rs"]
mod tracer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{
    EACCES, EAGAIN, EEXIST, EINTR, EINVAL, EIO, EMFILE, ENOENT, ENOMEM, ENOSYS, EPERM, c_int,
};
use tracer::{Calls, Ended, Plan};

/// Builds the workload with frame pointers, into a folder of its own.
fn workload() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_refused")).ancestors().nth(2).unwrap();
    let target = target.join("frame-pointers");
    let built = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--offline", "--bin", "refused", "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-Cforce-frame-pointers=yes")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("debug/refused")
}

/// The errors that a call may answer, of the kernel or of a sandbox.
fn errors(call: i64) -> &'static [c_int] {
    match call {
        libc::SYS_mmap => &[ENOMEM, EPERM, EEXIST],
        libc::SYS_munmap => &[ENOMEM, EINVAL],
        libc::SYS_mprotect => &[ENOMEM, EACCES],
        libc::SYS_madvise => &[EAGAIN, EINVAL, ENOSYS],
        libc::SYS_mremap => &[ENOMEM, ENOSYS],
        libc::SYS_mincore => &[EAGAIN, ENOSYS],
        libc::SYS_clone => &[EAGAIN, EPERM],
        libc::SYS_futex => &[EINTR, EAGAIN],
        libc::SYS_openat => &[ENOENT, EMFILE, EACCES],
        libc::SYS_read => &[EINTR, EIO],
        libc::SYS_rt_sigprocmask => &[EINVAL],
        _ => &[ENOSYS, EPERM],
    }
}

/// Errors that no kernel answers again and again: somebody else's mapping is at each address, or
/// a signal comes each time.
const FOR_ONCE: [c_int; 2] = [EEXIST, EINTR];

/// What the workload prints in the end, in bytes.
#[derive(Clone, Copy, Debug)]
struct Rest {
    writable: usize,
    memory: usize,
    mapped: usize,
    committed: usize,
}

impl Rest {
    fn of(ended: &Ended) -> Option<Rest> {
        let line = ended.out.lines().find_map(|line| line.strip_prefix("rest "))?;
        let numbers: Vec<usize> = line.split(' ').filter_map(|it| it.parse().ok()).collect();
        let [writable, memory, mapped, committed] = numbers[..] else { return None };
        Some(Rest { writable, memory, mapped, committed })
    }
}

/// Less than this may be left besides: of memory, and of mappings, where the C library keeps
/// the stacks of threads.
const LEFT: [usize; 2] = [1 << 20, 8 << 20];

/// What is wrong with a run, compared with what is left without failures.
fn wrong(ended: &Ended, usual: Rest) -> Option<String> {
    let Some(rest) = Rest::of(ended).filter(|_| ended.status.success()) else {
        return Some(format!("{:?}\n{}{}", ended.status, ended.out, ended.err));
    };
    let more = [
        (rest.memory, usual.memory + LEFT[0]),
        (rest.committed, usual.committed),
        (rest.mapped, usual.mapped),
        (rest.writable, usual.writable + LEFT[1]),
    ];
    let back = more.iter().all(|(is, most)| is <= most);
    (!back).then(|| format!("{rest:?} is left, where {usual:?} is without failures"))
}

/// All that can fail: each site at its first call and in the midst of them, and all calls of a
/// kind; once, and from then on.
fn plans(plain: &Ended) -> Vec<Plan> {
    let mut kinds = BTreeMap::new();
    for (site, count) in &plain.sites {
        *kinds.entry(site.call).or_insert(0) += count;
    }
    let kinds = kinds.into_iter().map(|(call, count)| (Calls::All(call), call, count));
    let sites =
        plain.sites.iter().map(|(site, count)| (Calls::Of(site.clone()), site.call, *count));
    let mut plans = Vec::new();
    for (calls, call, count) in kinds.chain(sites) {
        for (n, errno) in errors(call).iter().enumerate() {
            for forever in [true, false] {
                if forever && FOR_ONCE.contains(errno) {
                    continue;
                }
                let after = if n == 0 { 0 } else { count / 2 };
                plans.push(Plan { calls: calls.clone(), after, forever, errno: *errno });
            }
        }
    }
    plans
}

/// So many are run by default.
const SAMPLE: usize = 24;

#[test]
fn calls_that_fail_do_no_harm() {
    let program = workload();
    let plain = tracer::run(&program, None);
    assert!(plain.status.success(), "{:?}\n{}{}", plain.status, plain.out, plain.err);
    let usual = Rest::of(&plain).expect("a line");
    let plans = plans(&plain);
    let all = std::env::var_os("STRATA_NIGHTLY").is_some();
    let each = if all { 1 } else { plans.len() / SAMPLE };
    let chosen: Vec<&Plan> = plans.iter().step_by(each).collect();
    println!("{} sites, {} of {} plans; {usual:?}", plain.sites.len(), chosen.len(), plans.len());
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(plan) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ended = tracer::run(&program, Some(plan));
            failed.fetch_add(usize::from(ended.failed != 0), Ordering::Relaxed);
            if let Some(what) = wrong(&ended, usual) {
                println!("{plan:x?}, {} failed: {what}", ended.failed);
                found.lock().unwrap().push(format!("{plan:x?}, {} failed: {what}", ended.failed));
            }
        }
    };
    std::thread::scope(|scope| {
        // Most of the time they wait for the helper.
        let threads = 3 * std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let found = found.into_inner().unwrap();
    let failed = failed.into_inner();
    assert!(
        found.is_empty(),
        "of {}, in {}\n{}\naddr2line -Cfie shows the functions of {}",
        chosen.len(),
        found.len(),
        found.join("\n"),
        program.display()
    );
    println!("a call failed in {failed} runs");
    assert!(failed >= chosen.len() / 2, "a call failed in {failed} runs only");
}

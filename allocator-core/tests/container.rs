//! Behaviour in a container: with simulated files of a version 2 control group,
//! and in a real control group where the test may create one.

mod common;

use allocator_core::Strata;
use common::{Block, Ended, mib};
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::thread;
use std::time::Duration;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;
const ROOT: &str = "/sys/fs/cgroup";

/// So much free memory is below the bound of purging.
const LITTLE: usize = 3 * MIB;

fn blocks(bytes: usize) -> Vec<Block> {
    let block = |_| {
        let block = Block::new(&GLOBAL, 1000, 8).unwrap();
        // SAFETY: the block is ours.
        unsafe { block.ptr.write_bytes(7, 1000) };
        block
    };
    (0..bytes / 1024).map(block).collect()
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
}

/// Waits until a condition holds.
fn wait(what: &str, is: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: {:?}", Strata::stats());
}

/// The directory of this process's control group. `None`: it has none of
/// version 2.
fn group() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let place = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(ROOT).join(place))
}

/// Replaces a file of the group atomically.
fn put(name: &str, text: &str) {
    let folder = group().unwrap();
    fs::write(folder.join("new"), text).unwrap();
    fs::rename(folder.join("new"), folder.join(name)).unwrap();
}

/// The files report that memory is short, then that it is not.
fn files() {
    fs::create_dir_all(group().unwrap()).unwrap();
    put("memory.max", "1000000000\n");
    put("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    put("memory.current", "100000000\n");
    let large = blocks(100 * MIB);
    free(blocks(LITTLE));
    assert!(Strata::stats().free_bytes() > MIB, "free memory within the bound is kept");
    put("memory.current", "950000000\n");
    let more = blocks(40 * MIB);
    wait("free memory is purged", || Strata::stats().free_bytes() == 0);
    put("memory.current", "100000000\n");
    // While memory is short, the helper would look three times in this pause.
    wait("free memory is kept again", || {
        free(blocks(LITTLE));
        thread::sleep(Duration::from_millis(300));
        Strata::stats().free_bytes() > MIB
    });
    put("memory.pressure", "some avg10=25.00 avg60=9.00 avg300=1.00 total=9\n");
    let still_more = blocks(40 * MIB);
    wait("tasks stall, and free memory is purged", || Strata::stats().free_bytes() == 0);
    [large, more, still_more].into_iter().for_each(free);
}

/// The memory limit of the real group.
const LIMIT: usize = 512 * MIB;

/// A program that nearly fills its group purges all free memory.
fn real() {
    free(blocks(LITTLE));
    assert!(Strata::stats().free_bytes() > MIB, "free memory within the bound is kept");
    // The limit is checked every 32 MiB of growth: once between 90 % and this.
    let block = |_| {
        let block = Block::new(&GLOBAL, 2 * MIB, 8).unwrap();
        // SAFETY: the block is ours.
        unsafe { block.ptr.write_bytes(7, 2 * MIB) };
        block
    };
    let live: Vec<Block> = (0..248).map(block).collect();
    wait("free memory is purged", || Strata::stats().free_bytes() == 0);
    eprintln!("{:.1} MiB live", mib(Strata::stats().live_bytes()));
    free(live);
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "files" => files(),
        "real" => real(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

/// Runs a case in a child that calls `first` before it begins. `Err` if that fails.
fn run_after(case: &str, first: fn() -> io::Result<()>) -> io::Result<Ended> {
    let mut command: Command = common::command(case);
    // SAFETY: `first` only makes system calls.
    unsafe { command.pre_exec(first) };
    Ok(command.output()?.into())
}

/// Mounts an empty directory over the system's control groups, only for the
/// calling process and its children.
fn own_files() -> io::Result<()> {
    let done = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: plain calls; the strings end in nulls.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS))?;
        let alone = libc::MS_REC | libc::MS_PRIVATE;
        done(libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), alone, ptr::null()))?;
        let (kind, place) = (c"tmpfs".as_ptr(), c"/sys/fs/cgroup".as_ptr());
        done(libc::mount(kind, place, kind, 0, ptr::null()))
    }
}

#[test]
fn files_of_the_kernel_are_followed() {
    if group().is_none() {
        eprintln!("SKIPPED: this process has no control group of version 2");
        return;
    }
    match run_after("files", own_files) {
        Ok(ended) => common::check_success("files", ended),
        Err(error) => eprintln!("SKIPPED: cannot mount over {ROOT}: {error}"),
    }
}

/// A control group that the test created. It is removed on drop.
struct Made(PathBuf);

impl Made {
    fn new() -> io::Result<Made> {
        let here = Path::new(ROOT).join(format!("strata-{}", std::process::id()));
        fs::create_dir(&here)?;
        let made = Made(here);
        fs::write(made.0.join("memory.max"), LIMIT.to_string())?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_real_group_that_is_nearly_full_gets_memory_back() {
    let controllers = fs::read_to_string(format!("{ROOT}/cgroup.subtree_control"));
    if !controllers.is_ok_and(|all| all.split_whitespace().any(|name| name == "memory")) {
        eprintln!("SKIPPED: {ROOT} has no memory controller of version 2");
        return;
    }
    let made = match Made::new() {
        Ok(made) => made,
        Err(error) => return eprintln!("SKIPPED: cannot create a control group: {error}"),
    };
    let mut command = common::command("real");
    let mut procs = fs::OpenOptions::new().write(true).open(made.0.join("cgroup.procs")).unwrap();
    // SAFETY: one system call.
    unsafe { command.pre_exec(move || procs.write_all(b"0")) };
    common::check_success("real", command.output().unwrap().into());
}

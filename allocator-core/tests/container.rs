//! Behaviour in a container: with simulated files of a control group, of version 1 and 2,
//! and in a real control group of either version where the test may create one.

mod common;

use allocator_core::{Strata, Supply};
use common::{Block, mib};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if is() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: {:?}", Strata::stats());
}

/// A control group as simulated files.
struct Simulated {
    /// What the kernel says of the process's groups, and of its mounts.
    groups: &'static str,
    mounts: &'static str,
    /// The files that limit memory, and tell how much is used, and who waits for it.
    limit: &'static str,
    used: &'static str,
    waits: &'static str,
}

/// A container's own mount, and a group of version 2 that does not have the controller.
const FIRST: Simulated = Simulated {
    groups: "9:cpu,cpuacct:/\n4:memory:/pod/app\n0::/app\n",
    mounts: "30 29 0:7 /pod/app /sys/fs/cgroup/memory ro shared:7 - cgroup cgroup rw,memory\n\
             31 29 0:8 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n",
    limit: "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    used: "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    waits: "/sys/fs/cgroup/unified/app/memory.pressure",
};

const SECOND: Simulated = Simulated {
    groups: "0::/app\n",
    mounts: "31 29 0:8 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
    limit: "/sys/fs/cgroup/app/memory.max",
    used: "/sys/fs/cgroup/app/memory.current",
    waits: "/sys/fs/cgroup/app/memory.pressure",
};

/// Replaces a file of the group atomically.
fn put(path: &str, text: &str) {
    let new = format!("{ROOT}/new");
    fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

/// The files report that memory is short, then that it is not.
fn files(of: &Simulated) {
    put(of.limit, "1000000000\n");
    put(of.waits, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    put(of.used, "100000000\n");
    let large = blocks(100 * MIB);
    free(blocks(LITTLE));
    assert!(Strata::stats().free_bytes() > MIB, "free memory within the bound is kept");
    put(of.used, "980000000\n");
    let more = blocks(40 * MIB);
    wait("free memory is purged", is_purged);
    put(of.used, "100000000\n");
    wait("free memory is kept again", || !is_purged());
    put(of.waits, "some avg10=25.00 avg60=9.00 avg300=1.00 total=9\n");
    let still_more = blocks(40 * MIB);
    wait("tasks stall, and free memory is purged", is_purged);
    let stats = Strata::stats();
    assert_eq!([stats.container_used_percent(), stats.container_waiting_percent()], [10, 25]);
    assert!(stats.is_memory_scarce(), "{stats}");
    [large, more, still_more].into_iter().for_each(free);
}

/// Whether a little free memory is purged, although it was just in use.
fn is_purged() -> bool {
    is_purged_to(LITTLE, MIB)
}

/// Whether of free memory that was just in use less than `most` is left. While memory is short,
/// the helper looks three times in this pause.
fn is_purged_to(used: usize, most: usize) -> bool {
    free(blocks(used));
    thread::sleep(Duration::from_millis(300));
    Strata::stats().free_bytes() < most
}

/// The memory limit of the real group.
const LIMIT: usize = 512 * MIB;

/// A program that nearly fills its group purges nearly all free memory, and then has room for
/// what it maps itself.
fn real() {
    free(blocks(LITTLE));
    assert!(Strata::stats().free_bytes() > MIB, "free memory within the bound is kept");
    let block = |_| {
        let block = Block::new(&GLOBAL, 2 * MIB, 8).unwrap();
        // SAFETY: the block is ours.
        unsafe { block.ptr.write_bytes(7, 2 * MIB) };
        block
    };
    // With as much free memory as is kept otherwise, more than 90 % of the limit.
    let live: Vec<Block> = (0..215).map(block).collect();
    wait("free memory is purged but for a little", || is_purged_to(45 * MIB, 10 * MIB));
    let stats = Strata::stats();
    eprintln!("{:.1} MiB live", mib(stats.live_bytes()));
    assert_eq!(stats.container_limit_bytes(), LIMIT);
    assert_eq!(stats.hard_limit_bytes(), LIMIT / 100 * 99);
    assert!(stats.is_memory_short() && stats.container_used_percent() >= 80, "{stats}");
    let own = map(64 * MIB);
    // SAFETY: it has so many bytes.
    unsafe { own.write_bytes(7, 64 * MIB) };
    free(live);
}

/// Memory that the program maps itself.
fn map(bytes: usize) -> *mut u8 {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: new memory.
    let at = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

/// What the program was told, in order.
static TOLD: Mutex<Vec<Supply>> = Mutex::new(Vec::new());

fn told(supply: Supply) {
    // It may allocate.
    TOLD.lock().unwrap().push(supply);
}

/// The program is told of each change: on a slow path, or by the thread that it lends; otherwise
/// not at all.
fn pressure(of: &Simulated) {
    let is_told = |all: &[Supply]| *TOLD.lock().unwrap() == all;
    TOLD.lock().unwrap().reserve(100);
    put(of.limit, "1000000000\n");
    put(of.waits, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    put(of.used, "100000000\n");
    Strata::on_pressure(told);
    assert_eq!(Strata::check_pressure(), Supply::Plenty);
    put(of.used, "930000000\n");
    thread::sleep(Duration::from_secs(1));
    assert!(is_told(&[]), "an idle program has no thread that could be told");
    assert_eq!(Strata::check_pressure(), Supply::Short);
    assert_eq!(Strata::check_pressure(), Supply::Short);
    assert!(is_told(&[Supply::Short]), "once, by the thread that is lent");
    // Other threads, so that there may be a helper, which looks.
    put(of.used, "990000000\n");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                free(blocks(4 * MIB));
            }
        });
        wait("slow paths tell it", || is_told(&[Supply::Short, Supply::Scarce]));
        put(of.used, "100000000\n");
        wait("of plenty, too", || is_told(&[Supply::Short, Supply::Scarce, Supply::Plenty]));
        stop.store(true, Ordering::Relaxed);
    });
    put(of.used, "990000000\n");
    Strata::check_pressure();
    TOLD.lock().unwrap().clear();
    // One that comes late learns of what there is.
    Strata::on_pressure(told);
    Strata::check_pressure();
    assert!(is_told(&[Supply::Scarce]));
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "files 1" => files(&FIRST),
        "files 2" => files(&SECOND),
        "pressure" => pressure(&SECOND),
        "real" => real(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

/// Mounts an empty directory over the system's control groups, and these files over what the
/// kernel says of the process; only for the calling process and its children.
fn own_files(groups: &CStr, mounts: &CStr) -> io::Result<()> {
    let done = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: plain calls; the strings end in nulls.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS))?;
        let alone = libc::MS_REC | libc::MS_PRIVATE;
        done(libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), alone, ptr::null()))?;
        let (kind, place) = (c"tmpfs".as_ptr(), c"/sys/fs/cgroup".as_ptr());
        done(libc::mount(kind, place, kind, 0, ptr::null()))?;
        for (file, place) in [(groups, c"/proc/self/cgroup"), (mounts, c"/proc/self/mountinfo")] {
            let (file, place) = (file.as_ptr(), place.as_ptr());
            done(libc::mount(file, place, ptr::null(), libc::MS_BIND, ptr::null()))?;
        }
    }
    Ok(())
}

/// Runs the case of these files in a child that has them.
fn follow(case: &str, of: &Simulated) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(case.replace(' ', "-"));
    fs::create_dir_all(&folder).unwrap();
    let [groups, mounts] = [("cgroup", of.groups), ("mountinfo", of.mounts)].map(|(name, text)| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        CString::new(path.into_os_string().into_vec()).unwrap()
    });
    let mut command: Command = common::command(case);
    // SAFETY: it only makes system calls.
    unsafe { command.pre_exec(move || own_files(&groups, &mounts)) };
    match command.output() {
        Ok(output) => common::check_success(case, output.into()),
        Err(error) => eprintln!("SKIPPED: cannot mount over {ROOT}: {error}"),
    }
}

#[test]
fn files_of_version_1_are_followed() {
    follow("files 1", &FIRST);
}

#[test]
fn files_of_version_2_are_followed() {
    follow("files 2", &SECOND);
}

#[test]
fn the_program_is_told_how_much_there_is() {
    follow("pressure", &SECOND);
}

/// A control group that the test created. It is removed on drop.
struct Made(PathBuf);

impl Made {
    /// A group in this directory of groups, with a limit in this file.
    fn new(folder: &Path, limit: &str) -> io::Result<Made> {
        let here = folder.join(format!("strata-{}", std::process::id()));
        fs::create_dir(&here)?;
        let made = Made(here);
        fs::write(made.0.join(limit), LIMIT.to_string())?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Runs the case in a new group of this directory.
fn fill(folder: &Path, limit: &str) {
    let made = match Made::new(folder, limit) {
        Ok(made) => made,
        Err(error) => return eprintln!("SKIPPED: cannot create a control group: {error}"),
    };
    let mut command = common::command("real");
    command.env("STRATA_CONF", "hard_limit:99%");
    let mut procs = fs::OpenOptions::new().write(true).open(made.0.join("cgroup.procs")).unwrap();
    // SAFETY: one system call.
    unsafe { command.pre_exec(move || procs.write_all(b"0")) };
    common::check_success("real", command.output().unwrap().into());
}

/// Where groups of this kind are mounted, if one of the options is this.
fn mounted(kind: &str, option: &str) -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut words = system.split(' ');
        let is_kind = words.next() == Some(kind);
        let is_it = is_kind && words.nth(1)?.split(',').any(|it| it == option);
        is_it.then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[test]
fn a_real_group_of_version_1_that_is_nearly_full_gets_memory_back() {
    match mounted("cgroup", "memory") {
        Some(folder) => fill(&folder, "memory.limit_in_bytes"),
        None => eprintln!("SKIPPED: there is no memory controller of version 1"),
    }
}

#[test]
fn a_real_group_of_version_2_that_is_nearly_full_gets_memory_back() {
    let folder = mounted("cgroup2", "rw").filter(|folder| {
        let controllers = fs::read_to_string(folder.join("cgroup.subtree_control"));
        controllers.is_ok_and(|all| all.split_whitespace().any(|name| name == "memory"))
    });
    match folder {
        Some(folder) => fill(&folder, "memory.max"),
        None => eprintln!("SKIPPED: there is no memory controller of version 2"),
    }
}

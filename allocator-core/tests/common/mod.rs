//! Helpers for all tests: child processes that run this program again, numbers from
//! `/proc`, patterns in memory.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod model;
pub(crate) mod plugin;

use std::alloc::{GlobalAlloc, Layout};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use allocator_core::Strata;

const CASE: &str = "STRATA_TEST_CASE";

/// In a child: the case that it is to run. Arms a watchdog. A panic in any thread
/// ends the child at once, as other threads may wait for that thread.
pub(crate) fn case() -> Option<String> {
    let case = std::env::var(CASE).ok()?;
    // SAFETY: plain calls; the limit is a valid one.
    unsafe {
        libc::alarm(150);
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::exit(101);
    }));
    Some(case)
}

/// This program again, running only its test `child` for one case. A case runs like
/// this if it needs a process of its own: it aborts, sets a limit, or counts exactly.
pub(crate) fn command(case: &str) -> Command {
    let mut command = running(&std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(CASE, case);
    command
}

/// Runs a program that was built for the processor of this one: through what Cargo
/// runs such programs with, if that is an emulator.
pub(crate) fn running(program: &Path) -> Command {
    let processor = std::env::consts::ARCH.to_uppercase();
    match std::env::var_os(format!("CARGO_TARGET_{processor}_UNKNOWN_LINUX_GNU_RUNNER")) {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// How a child ended.
pub(crate) struct Ended {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) signal: Option<i32>,
    pub(crate) ok: bool,
}

/// What a program wrote, without what an emulator says when a signal ends the program.
fn without_emulator(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with("qemu: ")).collect()
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Ended {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: without_emulator(&String::from_utf8_lossy(&output.stderr)),
            signal: output.status.signal(),
            ok: output.status.success(),
        }
    }
}

/// Runs a case in a child.
pub(crate) fn run(case: &str) -> Ended {
    command(case).output().unwrap().into()
}

/// Runs a case in a child that must succeed. The child must print that it reached its
/// end: a misspelt case would run nothing and succeed.
pub(crate) fn succeeds(case: &str) {
    check_success(case, run(case));
}

pub(crate) fn check_success(case: &str, ended: Ended) {
    let at_end = ended.out.lines().any(|line| line.ends_with("end of the case"));
    assert!(
        ended.ok && at_end,
        "{case}: signal {:?}\n--- stdout\n{}\n--- stderr\n{}",
        ended.signal,
        ended.out,
        ended.err
    );
    print!("{case}: {}", ended.err);
}

/// In a child: waits until the program's first thread, which started this one, is idle, too:
/// the numbers no longer change.
pub(crate) fn others_sleep() {
    let numbers = || {
        let stats = Strata::stats();
        (stats.cached_bytes(), stats.metadata_bytes())
    };
    let mut still = 0;
    while still < 10 {
        let before = numbers();
        thread::sleep(Duration::from_millis(10));
        still = if numbers() == before { still + 1 } else { 0 };
    }
}

/// In a child: prints that it reached its end.
pub(crate) fn at_end() {
    println!("\nend of the case");
}

/// The profile that users build with.
pub(crate) const RELEASE: &str = "release";

/// The folder of this program's profile.
fn profile_folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// The profile of this program.
pub(crate) fn own_profile() -> String {
    match profile_folder().file_name().unwrap().to_str().unwrap() {
        "debug" => "dev".to_owned(),
        name => name.to_owned(),
    }
}

/// Cargo, to build with a profile into this program's target folder.
///
/// Features and the panic strategy are those of `cargo test --workspace`, so that
/// nothing is built twice.
pub(crate) fn cargo(command: &str, profile: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([command, "--offline", "--workspace", "--profile", profile])
        .args(["--config", &format!("profile.{profile}.panic='unwind'")])
        .arg("--target-dir")
        .arg(profile_folder().parent().unwrap());
    cargo
}

/// Builds an example, and returns its path. (Cargo builds the examples along with
/// all tests, but not along with a single one.)
pub(crate) fn example(profile: &str, name: &str, file: &str) -> PathBuf {
    let built = cargo("build", profile).args(["--quiet", "--example", name]).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    example_path(profile, file)
}

/// The path of an example that is built.
pub(crate) fn example_path(profile: &str, file: &str) -> PathBuf {
    let folder = if profile == "dev" { "debug" } else { profile };
    profile_folder().with_file_name(folder).join("examples").join(file)
}

/// The bytes in one line of `/proc/self/smaps_rollup`.
fn rollup(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

/// Bytes in huge pages.
pub(crate) fn in_huge_pages() -> usize {
    rollup("AnonHugePages:")
}

/// Resident bytes of the process.
pub(crate) fn rss() -> usize {
    rollup("Rss:")
}

/// Resident bytes that do not come from files: the part that allocators hold.
pub(crate) fn anonymous() -> usize {
    rollup("Anonymous:")
}

/// Forks; the child ends with the status that `status` returns.
pub(crate) fn status_of_child(status: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child ends without running handlers of the parent.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(status());
        }
        let mut raw = 0;
        assert_eq!(libc::waitpid(child, &raw mut raw, 0), child);
        assert!(libc::WIFEXITED(raw), "the child was killed: {raw:#x}");
        libc::WEXITSTATUS(raw)
    }
}

/// `bytes` in MiB, for printing.
pub(crate) fn mib(bytes: usize) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// A layout.
pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A pseudo-random number generator.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// A size up to about `1 << log`. All orders of magnitude are equally likely.
    pub(crate) fn size(&mut self, log: usize) -> usize {
        let log = self.below(log + 1);
        (1 << log) + self.below(1 << log)
    }
}

/// The period of a pattern. Patterns are slices of one array of noise, so that copying
/// and comparing them is fast in debug builds, too.
const PATTERN: usize = 64 << 10;

static NOISE: [u8; PATTERN + 4096] = {
    let mut noise = [0; PATTERN + 4096];
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut i = 0;
    while i < noise.len() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise[i] = (state >> 56) as u8;
        i += 1;
    }
    noise
};

/// Fills a block with a pattern of its own.
///
/// # Safety
/// The block has `size` bytes.
pub(crate) unsafe fn fill(ptr: *mut u8, size: usize, seed: u64) {
    let noise = &NOISE[(seed % 4093) as usize..][..PATTERN];
    let mut at = 0;
    while at < size {
        let len = PATTERN.min(size - at);
        // SAFETY: within the block.
        unsafe { ptr.add(at).copy_from_nonoverlapping(noise.as_ptr(), len) };
        at += len;
    }
}

/// Whether the first `size` bytes are those that [`fill`] wrote.
///
/// # Safety
/// The block has `size` bytes, all written.
pub(crate) unsafe fn is_filled(ptr: *const u8, size: usize, seed: u64) -> bool {
    let noise = &NOISE[(seed % 4093) as usize..][..PATTERN];
    (0..size).step_by(PATTERN).all(|at| {
        let len = PATTERN.min(size - at);
        // SAFETY: within the block.
        unsafe { std::slice::from_raw_parts(ptr.add(at), len) == &noise[..len] }
    })
}

/// Whether `size` bytes are all zero.
///
/// # Safety
/// The block has `size` bytes.
pub(crate) unsafe fn is_zero(ptr: *const u8, size: usize) -> bool {
    static ZERO: [u8; PATTERN] = [0; PATTERN];
    (0..size).step_by(PATTERN).all(|at| {
        let len = PATTERN.min(size - at);
        // SAFETY: within the block.
        unsafe { std::slice::from_raw_parts(ptr.add(at), len) == &ZERO[..len] }
    })
}

/// Runs each of these in a thread, and joins the threads: the end of a scope alone
/// does not wait for their exit hooks.
pub(crate) fn in_threads<F: FnOnce() + Send>(deeds: impl IntoIterator<Item = F>) {
    std::thread::scope(|scope| {
        let threads: Vec<_> = deeds.into_iter().map(|deed| scope.spawn(deed)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A block that may be passed between threads.
pub(crate) struct Block {
    pub(crate) ptr: *mut u8,
    pub(crate) layout: Layout,
}

// SAFETY: a block may be used by any thread that holds it.
unsafe impl Send for Block {}

impl Block {
    /// Allocates a block and writes its first and last bytes.
    pub(crate) fn new(alloc: &impl GlobalAlloc, size: usize, align: usize) -> Option<Block> {
        let layout = layout(size, align);
        // SAFETY: the size is not 0; the bytes are in the block.
        unsafe {
            let ptr = alloc.alloc(layout);
            if ptr.is_null() {
                return None;
            }
            ptr.write(1);
            ptr.add(size - 1).write(2);
            Some(Block { ptr, layout })
        }
    }

    pub(crate) fn free(self, alloc: &impl GlobalAlloc) {
        // SAFETY: it is ours, and was made with this layout.
        unsafe { alloc.dealloc(self.ptr, self.layout) };
    }
}

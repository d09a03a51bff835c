//! What the crate makes of the profile is true, and complete.
//!
//! There is one profile for the process, so there is one test, which does one thing after the
//! other.

use std::ffi::{CString, c_void};
use std::hint::black_box;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use allocator_core::{Scope, Strata};
use strata_profile::Snapshot;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const RATE: usize = 4 << 10;

type Block = Box<[u64; 8]>;

#[inline(never)]
fn keeps_small_blocks(count: usize) -> Vec<Block> {
    (0..count).map(|n| black_box(Box::new([n as u64; 8]))).collect()
}

#[inline(never)]
fn keeps_large_blocks(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| black_box(vec![1; 100_000])).collect()
}

#[inline(never)]
fn keeps_through_the_library() -> Vec<Block> {
    keeps_small_blocks(100_000)
}

/// The bytes of the stacks that have a function.
fn bytes_in(snapshot: &Snapshot, function: &str) -> i64 {
    let folded = snapshot.folded();
    let lines = folded.lines().filter(|line| line.contains(function));
    lines.map(bytes_of).sum()
}

/// The number at the end of a folded stack.
fn bytes_of(line: &str) -> i64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[track_caller]
fn assert_near(found: i64, exact: i64) {
    assert!((found - exact).abs() * 20 < exact, "{found} instead of {exact}");
}

/// Builds the library for the test, without frame pointers.
fn plugin(name: &str) -> PathBuf {
    let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new("cc")
        .args(["-O2", "-fomit-frame-pointer", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugin.c"))
        .status();
    assert!(status.unwrap().success());
    library
}

type Calls = extern "C" fn(extern "C" fn(*mut c_void), *mut c_void);

extern "C" fn called_back(place: *mut c_void) {
    // SAFETY: it is what was passed to the library.
    unsafe { *place.cast::<Vec<Block>>() = keeps_through_the_library() };
}

#[test]
fn profiles_are_true_and_complete() {
    strata_profile::start(RATE);
    let before = Snapshot::take();
    let small = keeps_small_blocks(300_000);
    let large = keeps_large_blocks(300);
    let first = Snapshot::take();
    let added = first.since(&before);
    assert_near(bytes_in(&added, "keeps_small_blocks"), 300_000 * (64 + 8));
    assert_near(bytes_in(&added, "keeps_large_blocks"), 300 * 100_000);
    stacks_are_whole(&added);
    pprof_is_complete(&first);
    page_is_whole(&first);

    drop(large);
    let shrunk = Snapshot::take().since(&first);
    assert_near(-bytes_in(&shrunk, "keeps_large_blocks"), 300 * 100_000);
    assert_eq!(bytes_in(&shrunk, "keeps_small_blocks"), 0);

    let grower = thread::spawn(|| {
        thread::sleep(Duration::from_millis(100));
        keeps_large_blocks(100)
    });
    let grown = strata_profile::growth(Duration::from_millis(600));
    let kept = grower.join().unwrap();
    assert_near(bytes_in(&grown, "keeps_large_blocks"), 100 * 100_000);

    let library = a_library_is_loaded();
    let scoped = scopes_are_labels();
    strata_profile::stop();
    let report = Snapshot::take().report();
    assert!(report.contains("bytes in use") || report.contains("are in use"), "{report}");
    assert!(report.contains("keeps_small_blocks"), "{report}");
    drop((small, kept, library, scoped));
    let left = Snapshot::take();
    assert_eq!(bytes_in(&left, "keeps_"), 0, "{}", left.report());
}

/// From the block to the first function of the thread, in this order.
fn stacks_are_whole(snapshot: &Snapshot) {
    let folded = snapshot.folded();
    let line = folded.lines().find(|line| line.contains("keeps_small_blocks")).unwrap();
    let at = |name: &str| line.find(name).unwrap_or_else(|| panic!("{name} is not in {line}"));
    assert!(at("std::sys") < at("profiles_are_true"), "{line}");
    assert!(at("profiles_are_true") < at("keeps_small_blocks"), "{line}");
    assert!(!line.contains("allocator_core::"), "{line}");
}

/// Reads the format by hand: a field is a number and a kind, then a number or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let value = number(&mut bytes);
        let mut content: &[u8] = &[];
        match key & 7 {
            0 => {}
            2 => (content, bytes) = bytes.split_at(value as usize),
            kind => panic!("a field of the kind {kind}"),
        }
        all.push((key >> 3, value, content));
    }
    all
}

fn pprof_is_complete(snapshot: &Snapshot) {
    let mut file = Vec::new();
    flate2::read::GzDecoder::new(&snapshot.pprof()[..]).read_to_end(&mut file).unwrap();
    let profile = fields(&file);
    let of = |tag: u64| profile.iter().filter(move |field| field.0 == tag);
    let texts: Vec<_> = of(6).map(|field| std::str::from_utf8(field.2).unwrap()).collect();
    assert_eq!(texts[0], "");
    assert_eq!(of(1).count(), 4, "kinds of values");
    let one = |message: &[u8], tag: u64| {
        fields(message).iter().find(|field| field.0 == tag).map_or(0, |field| field.1)
    };
    // Each sample leads to locations, these to functions with names and to objects.
    let locations: Vec<_> = of(4).map(|field| field.2).collect();
    let mut named = 0;
    for location in &locations {
        for (_, _, line) in fields(location).iter().filter(|field| field.0 == 4) {
            let function = one(line, 1) as usize;
            let function = of(5).map(|field| field.2).nth(function - 1).unwrap();
            named += usize::from(!texts[one(function, 2) as usize].is_empty());
        }
        assert!(one(location, 2) != 0, "{:#x} is in no object", one(location, 3));
    }
    assert!(named >= locations.len());
    let has = |text: &str| texts.iter().any(|it| it.ends_with(text));
    assert!(has("keeps_small_blocks") && has("keeps_large_blocks"), "{texts:?}");
    assert!(has("tests/profile.rs") && has("inuse_space") && has("bytes"));
    // The program itself is an object with a build id, if the linker gives any.
    let program = env::current_exe().unwrap();
    let objects: Vec<_> = of(3).map(|field| field.2).collect();
    assert!(objects.iter().any(|it| texts[one(it, 5) as usize] == program.to_str().unwrap()));
    let ids = objects.iter().filter(|it| one(it, 6) != 0);
    assert!(ids.clone().all(|it| texts[one(it, 6) as usize].len() >= 16));
    assert!(ids.count() != 0, "no object has a build id");
    // The values are those of the snapshot.
    let sum: i64 = of(2).map(|(_, _, sample)| last_value(&fields(sample))).sum();
    assert_eq!(sum, snapshot.in_use().bytes);
}

/// The last value of a sample with these fields.
fn last_value(sample: &[(u64, u64, &[u8])]) -> i64 {
    let (_, _, values) = sample.iter().find(|field| field.0 == 2).unwrap();
    let last = values.split_inclusive(|byte| *byte < 0x80).next_back().unwrap();
    last.iter().rev().fold(0, |sum, byte| sum << 7 | i64::from(byte & 0x7f))
}

/// One function allocates in two scopes, of which one was there before.
fn scopes_are_labels() -> [Vec<Block>; 3] {
    let [first, second] = ["4;2", "<b>"].map(|value| Scope::new("tenant", value));
    let before = first.run(|| keeps_small_blocks(100_000));
    let earlier = Snapshot::take();
    let added = first.run(|| keeps_small_blocks(400_000));
    let other = second.run(|| keeps_small_blocks(300_000));
    let snapshot = Snapshot::take();
    let grown = snapshot.since(&earlier);
    let folded = grown.folded();
    for (root, blocks) in [("tenant:4:2;", 400_000), ("tenant:<b>;", 300_000)] {
        let lines = folded.lines().filter(|line| line.starts_with(root));
        assert!(lines.clone().all(|line| line.contains("keeps_small_blocks")), "{folded}");
        assert_near(lines.map(bytes_of).sum(), blocks * (64 + 8));
    }
    let page = snapshot.flame_graph();
    assert!(page.contains("[\"tenant:4;2\",") && page.contains("[\"tenant:\\u003cb>\","));
    let report = snapshot.report();
    assert!(report.lines().any(|line| line.ends_with(" blocks of tenant:4;2")), "{report}");
    // A sample has the label of its scope, and the values of the entry.
    let mut file = Vec::new();
    flate2::read::GzDecoder::new(&grown.pprof()[..]).read_to_end(&mut file).unwrap();
    let profile = fields(&file);
    let texts: Vec<_> = profile.iter().filter(|field| field.0 == 6).map(|field| field.2).collect();
    let mut sums = [0, 0];
    for (_, _, sample) in profile.iter().filter(|field| field.0 == 2) {
        let sample = fields(sample);
        let labels = sample.iter().filter(|field| field.0 == 3).map(|field| fields(field.2));
        let texts = |label: Vec<(u64, u64, &[u8])>| -> Vec<_> {
            label.into_iter().map(|(tag, at, _)| (tag, texts[at as usize])).collect()
        };
        for label in labels.map(texts) {
            let scope = [b"4;2", b"<b>"].iter().position(|value| label[1] == (2, *value));
            assert_eq!(label[0], (1, &b"tenant"[..]));
            sums[scope.unwrap()] += last_value(&sample);
        }
    }
    assert_near(sums[0], 400_000 * (64 + 8));
    assert_near(sums[1], 300_000 * (64 + 8));
    [before, added, other]
}

fn page_is_whole(snapshot: &Snapshot) {
    let page = snapshot.flame_graph();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("keeps_small_blocks") && !page.contains("\"DATA\""));
    assert!(!page.contains("http"), "it needs a network");
    assert_eq!(page.matches("</script>").count(), 1);
}

/// A library that is loaded later is known from the next snapshot on; then stacks lead through
/// it, though it has no frame pointers.
fn a_library_is_loaded() -> Vec<Block> {
    let path = CString::new(plugin("libcalls.so").to_str().unwrap()).unwrap();
    // SAFETY: the library has such a function, and stays loaded.
    let calls: Calls = unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null());
        std::mem::transmute(libc::dlsym(library, c"plugin_calls".as_ptr()))
    };
    let before = Snapshot::take();
    let mut kept: Vec<Block> = Vec::new();
    calls(called_back, (&raw mut kept).cast());
    let added = Snapshot::take().since(&before).folded();
    let line = added.lines().find(|line| line.contains("keeps_through_the_library"));
    let line = line.unwrap_or_else(|| panic!("the stack is missing in {added}"));
    let at = |name: &str| line.find(name).unwrap_or_else(|| panic!("{name} is not in {line}"));
    assert!(at("a_library_is_loaded") < at("plugin_calls"), "{line}");
    assert!(at("plugin_calls") < at("keeps_through_the_library"), "{line}");
    kept
}

/// The children of forks do not wait for a thread of the parent's that collects tables, and leave
/// the report to the parent.
fn children_write_no_report(file: &Path) {
    thread::spawn(|| {
        loop {
            strata_profile::refresh();
        }
    });
    thread::sleep(Duration::from_millis(10));
    for _ in 0..20 {
        let mut status = 0;
        // SAFETY: the child collects tables and exits.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::alarm(20);
                strata_profile::refresh();
                libc::exit(0);
            }
            libc::waitpid(child, &raw mut status, 0);
        }
        assert_eq!(status, 0);
        assert!(!file.exists(), "a child wrote the report");
    }
}

#[test]
fn at_exit_a_report_is_written() {
    const FILE: &str = "STRATA_PROFILE_TEST";
    if let Some(file) = env::var_os(FILE) {
        assert!(strata_profile::report_at_exit(Some(file.clone().into())));
        strata_profile::start(RATE);
        std::mem::forget(keeps_small_blocks(100_000));
        children_write_no_report(&PathBuf::from(file));
        return;
    }
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report");
    let _ = fs::remove_file(&file);
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "at_exit_a_report_is_written"])
        .env(FILE, &file)
        .status();
    assert!(status.unwrap().success());
    let report = fs::read_to_string(&file).unwrap();
    assert!(report.contains("keeps_small_blocks"), "{report}");
}

/// Libraries that other threads unload while their tables are read.
#[test]
fn libraries_are_unloaded_meanwhile() {
    const CHILD: &str = "STRATA_PROFILE_UNLOADING";
    if env::var_os(CHILD).is_none() {
        let test = "libraries_are_unloaded_meanwhile";
        let mut command = Command::new(env::current_exe().unwrap());
        let status = command.args(["--exact", test]).env(CHILD, plugin("libunloaded.so")).status();
        assert!(status.unwrap().success());
        return;
    }
    let library = PathBuf::from(env::var_os(CHILD).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    // Copies are libraries of their own.
    let unloaders = (0..3).map(|copy| {
        let (stop, path) = (stop.clone(), library.with_extension(copy.to_string()));
        fs::copy(&library, &path).unwrap();
        let path = CString::new(path.to_str().unwrap()).unwrap();
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: nothing of the library is used.
                unsafe {
                    let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
                    assert!(!library.is_null());
                    thread::yield_now();
                    libc::dlclose(library);
                }
            }
        })
    });
    let unloaders: Vec<_> = unloaders.collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        strata_profile::refresh();
    }
    stop.store(true, Ordering::Relaxed);
    unloaders.into_iter().for_each(|unloader| unloader.join().unwrap());
}

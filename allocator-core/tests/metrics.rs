//! What the process tells other programs about itself: counters that only grow and are exact,
//! and pages that the programs which are to read them accept.

mod common;

use allocator_core::{Metrics, Stats, Strata};
use common::Block;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Allocated less freed is live and cached together, in bytes; and in blocks, if as many large
/// ones are held as the caller says.
fn adds_up(stats: &Stats, large_blocks: usize) {
    let small: usize =
        stats.classes().iter().map(|class| class.live_blocks() + class.cached_blocks()).sum();
    let bytes = stats.live_bytes() + stats.cached_bytes();
    assert_eq!(stats.allocated_bytes() - stats.freed_bytes(), bytes, "{stats}");
    let blocks = stats.allocated_blocks() - stats.freed_blocks();
    assert_eq!(blocks, small + large_blocks, "{stats}");
}

/// Large blocks that the program holds besides those of the tests: none, or the test cannot
/// count.
fn starts_without_large_blocks() -> Stats {
    let stats = Strata::stats();
    assert_eq!(stats.large_bytes(), 0, "{stats}");
    stats
}

/// So many blocks of a size are allocated and freed, and nothing is left in a cache.
fn there_and_back(size: usize, count: usize, most_rounded: usize) {
    let mut blocks = Vec::with_capacity(count);
    Strata::purge();
    let before = Strata::stats();
    blocks.extend((0..count).map(|_| Block::new(&GLOBAL, size, 1).unwrap()));
    let between = Strata::stats();
    blocks.drain(..).for_each(|block| block.free(&GLOBAL));
    Strata::purge();
    let after = Strata::stats();
    let cached = between.cached_bytes() / size;
    let grew = between.allocated_blocks() - before.allocated_blocks();
    assert!((count..=count + cached).contains(&grew), "{size}: {count} of {grew}");
    assert_eq!(after.allocated_blocks(), between.allocated_blocks(), "{size}");
    assert_eq!(after.freed_blocks() - before.freed_blocks(), grew, "{size}");
    let bytes = after.allocated_bytes() - before.allocated_bytes();
    assert!((grew * size..=grew * most_rounded).contains(&bytes), "{size}: {bytes}");
    assert_eq!(after.freed_bytes() - before.freed_bytes(), bytes, "{size}");
}

fn counting() {
    common::others_sleep();
    starts_without_large_blocks();
    adds_up(&Strata::stats(), 0);
    there_and_back(100, 10_000, 112);
    there_and_back(3000, 1000, 3072);
    there_and_back(100 << 10, 50, 100 << 10);
    there_and_back(3 << 20, 5, 3 << 20);
    adds_up(&Strata::stats(), 0);
    let kept: Vec<_> = (0..7).map(|_| Block::new(&GLOBAL, 200 << 10, 1).unwrap()).collect();
    let huge: Vec<_> = (0..3).map(|_| Block::new(&GLOBAL, 5 << 20, 1).unwrap()).collect();
    adds_up(&Strata::stats(), 10);
    kept.into_iter().chain(huge).for_each(|block| block.free(&GLOBAL));
    adds_up(&Strata::stats(), 0);
}

/// A block that grows and shrinks in place counts with its bytes, and is one block.
fn growing() {
    let stats = starts_without_large_blocks();
    let mut growing = vec![1u8; 64 << 10];
    for _ in 0..200 {
        growing.reserve_exact(growing.capacity() + (32 << 10) - growing.len());
        adds_up(&Strata::stats(), 1);
    }
    growing.shrink_to(1 << 20);
    adds_up(&Strata::stats(), 1);
    growing.shrink_to(64 << 10);
    adds_up(&Strata::stats(), 1);
    drop(growing);
    let after = Strata::stats();
    adds_up(&after, 0);
    let moved = after.allocated_bytes() - stats.allocated_bytes();
    assert!(moved >= 200 * (32 << 10), "{moved}");
}

/// Blocks that another thread freed, and their owner gets again, count again.
fn received() {
    const COUNT: usize = 20_000;
    let barrier = Barrier::new(2);
    let handed = std::sync::Mutex::new(Vec::with_capacity(COUNT));
    let allocate = || {
        let mut handed = handed.lock().unwrap();
        handed.extend((0..COUNT).map(|_| Block::new(&GLOBAL, 64, 1).unwrap()));
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            allocate();
            barrier.wait();
            barrier.wait();
            allocate();
            barrier.wait();
        });
        barrier.wait();
        handed.lock().unwrap().drain(..).for_each(|block| block.free(&GLOBAL));
        Strata::thread_idle();
        let before = Strata::stats();
        barrier.wait();
        barrier.wait();
        let after = Strata::stats();
        let grew = after.allocated_blocks() - before.allocated_blocks();
        assert!((COUNT / 10 * 9..COUNT + 10_000).contains(&grew), "{grew}");
        // The vector is a large block.
        adds_up(&after, 1);
    });
}

/// Reads the numbers so often, and while there is a reason. None that only grows falls.
fn never_fall(goes_on: impl Fn() -> bool, times: usize) {
    let of = |stats: &Stats| {
        [
            stats.allocated_blocks(),
            stats.allocated_bytes(),
            stats.freed_blocks(),
            stats.freed_bytes(),
            stats.peak_committed_bytes(),
            stats.peak_threads(),
        ]
    };
    let mut last = Strata::stats();
    for _ in (0..times).take_while(|_| goes_on()) {
        let now = Strata::stats();
        let fell = of(&last).into_iter().zip(of(&now)).any(|(before, after)| after < before);
        assert!(!fell, "{last}\n{now}");
        last = now;
    }
}

/// While blocks are allocated, what was freed seems less: they are out before they are seen to
/// have left.
fn allocating() {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let blocks: Vec<_> =
                (0..2_000_000).map(|_| Block::new(&GLOBAL, 64, 1).unwrap()).collect();
            is_done.store(true, Relaxed);
            blocks.into_iter().for_each(|block| block.free(&GLOBAL));
        });
        never_fall(|| !is_done.load(Relaxed), usize::MAX);
    });
}

/// Blocks that one thread allocates and another frees, in threads that come and go. No number
/// falls meanwhile.
fn threads() {
    starts_without_large_blocks();
    let start = Strata::stats();
    let barrier = Barrier::new(9);
    thread::scope(|scope| {
        for t in 0..8 {
            let barrier = &barrier;
            scope.spawn(move || {
                for round in 0..20 {
                    let blocks: Vec<_> = (0..500)
                        .map(|i| Block::new(&GLOBAL, 1 + (i * 7 + t + round) % 900, 1).unwrap())
                        .collect();
                    common::in_threads([move || {
                        blocks.into_iter().for_each(|block| block.free(&GLOBAL));
                    }]);
                }
                barrier.wait();
                barrier.wait();
            });
        }
        never_fall(|| true, 1000);
        barrier.wait();
        let now = Strata::stats();
        assert!(now.threads() >= 9 && now.peak_threads() >= now.threads(), "{now}");
        assert!(now.allocated_blocks() - start.allocated_blocks() >= 1000, "{now}");
        adds_up(&now, 0);
        barrier.wait();
    });
    adds_up(&Strata::stats(), 0);
}

fn limits() {
    let before = Strata::stats();
    assert_eq!([before.limit_bytes(), before.hard_limit_bytes()], [0, 0]);
    let hold = Block::new(&GLOBAL, 20 << 20, 1).unwrap();
    let peak = Strata::stats().peak_committed_bytes();
    assert!(peak >= 20 << 20 && peak >= Strata::stats().committed_bytes());
    Strata::set_limit(10 << 20);
    Strata::set_hard_limit(30 << 20);
    let more = Block::new(&GLOBAL, 1 << 20, 1).unwrap();
    let above = Strata::stats();
    assert_eq!([above.limit_bytes(), above.hard_limit_bytes()], [10 << 20, 30 << 20]);
    assert_eq!(above.limit_exceeded() - before.limit_exceeded(), 1);
    assert_eq!(above.refusals(), before.refusals());
    assert_eq!(above.hard_limit_refusals(), before.hard_limit_refusals());
    assert!(Block::new(&GLOBAL, 40 << 20, 1).is_none());
    let refused = Strata::stats();
    assert_eq!(refused.refusals() - before.refusals(), 1);
    assert!(refused.hard_limit_refusals() > before.hard_limit_refusals());
    Strata::set_limit(0);
    Strata::set_hard_limit(0);
    hold.free(&GLOBAL);
    more.free(&GLOBAL);
    Strata::purge();
    let after = Strata::stats();
    assert!(after.purges() > before.purges(), "{after}");
    assert_eq!(after.peak_committed_bytes(), refused.peak_committed_bytes());
}

/// Text of a length that no page reaches.
struct Text {
    bytes: [u8; 32 << 10],
    len: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Writing any form changes no number: nothing was allocated, not even from a cache.
fn writing() {
    let mut text = Text { bytes: [0; 32 << 10], len: 0 };
    let count = |stats: &Stats| {
        let cached: usize = stats.classes().iter().map(|class| class.cached_blocks()).sum();
        (stats.allocated_blocks(), stats.live_bytes(), cached)
    };
    let before = Strata::stats();
    let metrics = Strata::metrics();
    for form in 0..4 {
        text.len = 0;
        match form {
            0 => write!(text, "{}", metrics.json()),
            1 => write!(text, "{}", metrics.prometheus()),
            2 => write!(text, "{}", metrics.open_metrics()),
            _ => write!(text, "{}", metrics.stats()),
        }
        .expect("there is room");
        assert!(text.len > 500, "{form}");
    }
    assert_eq!(count(&Strata::stats()), count(&before));
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "counting" => counting(),
        "growing" => growing(),
        "received" => received(),
        "allocating" => allocating(),
        "threads" => threads(),
        "limits" => limits(),
        "writing" => writing(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn what_is_allocated_and_freed_adds_up() {
    common::succeeds("counting");
    common::succeeds("growing");
    common::succeeds("received");
}

#[test]
fn what_only_grows_never_falls() {
    common::succeeds("allocating");
    common::succeeds("threads");
}

#[test]
fn limits_refusals_and_peaks_are_counted() {
    common::succeeds("limits");
}

#[test]
fn writing_allocates_nothing() {
    common::succeeds("writing");
}

/// Numbers of a process with a limit and some blocks.
fn example() -> (Metrics, Vec<Block>) {
    Strata::set_hard_limit(1 << 40);
    let blocks =
        (0..100).map(|i| Block::new(&GLOBAL, 1 + i * 500, 1).expect("there is memory")).collect();
    (Strata::metrics(), blocks)
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
}

/// Gives a page to a program, which must accept it without a word. `None`, with a note, if the
/// program is not installed.
fn accepted(program: &str, args: &[&str], probe: &[&str], page: &str) -> Option<String> {
    let found = Command::new(program).args(probe).output();
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "{program} {probe:?} does not run");
        eprintln!("SKIPPED: {program} {probe:?} does not run");
        return None;
    }
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success() && err.is_empty(), "{out}{err}\n{page}");
    Some(out)
}

#[test]
fn promtool_finds_nothing_to_say_about_the_page() {
    let (metrics, blocks) = example();
    let page = metrics.prometheus().to_string();
    let lint = ["check", "metrics"];
    if let Some(out) = accepted("promtool", &lint, &["--version"], &page) {
        assert_eq!(out, "", "{page}");
    }
    free(blocks);
}

/// Prints what the parser of Prometheus' own library understands.
const PARSE: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        labels = ','.join(f'{key}={value}' for key, value in sorted(sample.labels.items()))
        print(family.name, family.type, family.unit or '-', sample.name, labels or '-',
              int(sample.value) if sample.value == int(sample.value) else sample.value)
";

#[test]
fn the_parser_of_openmetrics_reads_the_same_numbers() {
    let (metrics, blocks) = example();
    let page = metrics.open_metrics().to_string();
    let probe = ["-c", "import prometheus_client"];
    if let Some(out) = accepted("/usr/bin/python3", &["-c", PARSE], &probe, &page) {
        let stats = metrics.stats();
        let live =
            format!("strata_live_bytes gauge bytes strata_live_bytes - {}", stats.live_bytes());
        let allocated = format!(
            "strata_allocated_bytes counter bytes strata_allocated_bytes_total - {}",
            stats.allocated_bytes()
        );
        let limit = "strata_hard_limit_bytes gauge bytes strata_hard_limit_bytes - 1099511627776";
        for line in [&live, &allocated, limit] {
            assert!(out.lines().any(|it| it == line), "{line} is missing:\n{out}");
        }
        let rows = out.lines().filter(|line| line.starts_with("strata_resident_bytes "));
        let sum: usize =
            rows.map(|row| row.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert_eq!(sum, metrics.explanation().unwrap().resident_bytes(), "{out}");
    }
    free(blocks);
}

#[test]
fn all_forms_have_the_same_numbers() {
    let (metrics, blocks) = example();
    let json: serde_json::Value = serde_json::from_str(&metrics.json().to_string()).unwrap();
    let page = metrics.prometheus().to_string();
    let samples: HashMap<&str, &str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|it| it.rsplit_once(' '))
        .collect();
    assert!(!page.contains("EOF"), "it is for OpenMetrics alone");
    let mut compared = 0;
    for (name, value) in json.as_object().unwrap() {
        let sample = samples.get(format!("strata_{name}").as_str());
        match value {
            serde_json::Value::Number(number) => {
                assert_eq!(
                    number.as_f64().unwrap(),
                    sample.unwrap().parse::<f64>().unwrap(),
                    "{name}"
                );
                compared += 1;
            }
            serde_json::Value::Null => assert!(sample.is_none(), "{name}"),
            _ => {}
        }
    }
    assert!(compared > 20, "{json}");
    for class in json["classes"].as_array().unwrap() {
        let label = format!("{{block_bytes=\"{}\"}}", class["block_bytes"]);
        for count in ["live_blocks", "cached_blocks"] {
            let sample = samples[format!("strata_class_{count}{label}").as_str()];
            assert_eq!(class[count].to_string(), sample, "{count} {label}");
        }
    }
    for (row, bytes) in
        json["resident"].as_object().unwrap().iter().filter(|(row, _)| *row != "all")
    {
        let sample = samples[format!("strata_resident_bytes{{held_for=\"{row}\"}}").as_str()];
        assert_eq!(bytes.to_string(), sample, "{row}");
    }
    free(blocks);
}

#[test]
fn what_is_resident_may_be_left_out() {
    let metrics = Metrics::from(Strata::stats());
    assert!(metrics.explanation().is_none());
    let json: serde_json::Value = serde_json::from_str(&metrics.json().to_string()).unwrap();
    assert!(json["resident"].is_null());
    assert!(!metrics.prometheus().to_string().contains("strata_resident_bytes"));
}

/// The page in the documents lists every name that a page has, and no other.
#[test]
fn the_document_lists_every_name() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let Ok(document) = std::fs::read_to_string(document) else { return };
    let (metrics, blocks) = example();
    let page = metrics.prometheus().to_string();
    let optional = [
        "strata_limit_bytes",
        "strata_container_limit_bytes",
        "strata_scope_live_bytes",
        "strata_scope_allocated_bytes_total",
    ];
    let mut names: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .chain(optional)
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut listed: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next())
        .filter(|name| name.starts_with("strata_"))
        .collect();
    listed.sort_unstable();
    assert_eq!(listed, names);
    free(blocks);
}

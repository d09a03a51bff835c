//! The same allocator on a fake system, which fails on demand and checks every call:
//! the modules are compiled once more, with the fake in place of the system.

mod common;

use allocator_sys::fake as sys;

/// The modules of `src/lib.rs`, at the crate's root as there.
macro_rules! modules {
    ($($path:literal $name:ident)*) => {
        $(#[path = $path]
        #[allow(dead_code, unreachable_pub, reason = "the tests reach a part of it")]
        mod $name;)*
    };
}

modules! {
    "../src/base/mod.rs" base
    "../src/spans/mod.rs" spans
    "../src/heaps/mod.rs" heaps
    "../src/pages/mod.rs" pages
    "../src/reclaim/mod.rs" reclaim
    "../src/remote/mod.rs" remote
    "../src/thread/mod.rs" thread
    "../src/background/mod.rs" background
    "../src/process/mod.rs" process
    "../src/alloc.rs" alloc
    "../src/free.rs" free
    "../src/realloc.rs" realloc
    "../src/report/mod.rs" report
    "../src/strata.rs" strata
}

#[path = "on_fake/workload.rs"]
mod workload;

#[path = "on_fake/failures.rs"]
mod failures;

#[path = "on_fake/addresses.rs"]
mod addresses;

use background::huge_page_collapse;
use common::model::{self, Deed, Step};
use common::{Block, Random, layout};
use pages::arena;
use pages::cgroup;
use pages::usage;
use process::options;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::alloc::GlobalAlloc;
use std::ops::Range;
use std::sync::mpsc;
use std::thread::JoinHandle;
use thread::registry;

use strata::Strata;
use sys::Call;
use workload::{ALLOC, SLACK, TRACELESS, all_is_well, at_rest, warm_up};

/// Random programs with random failures.
fn random_failures() {
    warm_up();
    let step = (0usize..100, any::<u8>(), 0u32..22, any::<usize>(), 0u32..40).prop_map(
        |(place, deed, log, extra, align)| Step {
            deed: match deed % 8 {
                0..=2 => Deed::Alloc,
                3 => Deed::AllocZeroed,
                4..=5 => Deed::Realloc,
                6 => Deed::Free,
                _ => Deed::Extra,
            },
            place,
            size: (1 << log) + extra % (1 << log),
            align: 1 << if align < 22 { align } else { 3 },
        },
    );
    let programs = prop::collection::vec(prop::collection::vec(step, 1..120), 1..5);
    let failures = prop::collection::vec((0u64..200, 1u64..20), 1..4);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(programs, failures, 1usize..80), |(program, failures, places)| {
            sys::clear_failures();
            for (i, (at, count)) in failures.iter().enumerate() {
                match i {
                    0 => sys::fail_any_nth(*at, *count),
                    _ => sys::fail_nth(TRACELESS[*at as usize % TRACELESS.len()], *at, *count),
                }
            }
            model::run(&ALLOC, places, &program, |size| {
                if size % 3 == 0 {
                    Strata::purge();
                }
            });
            sys::clear_failures();
            Ok(())
        })
        .unwrap();
    all_is_well(5);
}

/// A shard may keep a chunk of spans and a chunk of page runs.
const CHUNKS_OF_A_SHARD: usize = 4 << 20;

/// Threads on all CPUs that the fake reports, with a failure now and then. Blocks pass
/// between shards.
fn many_shards() {
    warm_up();
    let cpus = sys::cpu_count();
    let before = at_rest();
    for round in 0..60u64 {
        if round % 3 == 2 {
            // A thread whose end is not reported leaves its magazines full.
            for call in TRACELESS.into_iter().filter(|call| *call != Call::ArmThreadExit) {
                sys::fail_nth(call, round % 17 + 1, round % 5 + 1);
            }
        }
        let blocks: Vec<Vec<Block>> = (0..cpus)
            .map(|cpu| {
                sys::set_current_cpu(Some(cpu));
                let make = move || {
                    let mut random = Random(round * 100 + cpu as u64 + 1);
                    (0..300).filter_map(|_| Block::new(&ALLOC, random.size(14), 8)).collect()
                };
                std::thread::spawn(make).join().unwrap()
            })
            .collect();
        common::in_threads(blocks.into_iter().enumerate().map(|(cpu, blocks)| {
            move || {
                sys::set_current_cpu(Some((cpu + 1) % cpus));
                blocks.into_iter().for_each(|block| block.free(&ALLOC));
            }
        }));
        sys::clear_failures();
    }
    all_is_well(1);
    let live: usize = Strata::stats().classes().iter().map(|class| class.live_blocks()).sum();
    assert_eq!((live, Strata::stats().large_bytes()), (0, 0));
    let after = at_rest();
    eprintln!("{cpus} CPUs: {before} to {after} mapped");
    assert!(after <= before + SLACK + cpus * CHUNKS_OF_A_SHARD);
}

/// A container two levels deep, with the limit on the outer level.
fn in_a_container() {
    let absent = [
        c"/sys/fs/cgroup/pod/app/memory.high",
        c"/sys/fs/cgroup/pod/app/memory.pressure",
        c"/sys/fs/cgroup/pod/memory.high",
        c"/proc/pressure/memory",
    ];
    absent.into_iter().for_each(|path| sys::set_file(path, None));
    sys::set_file(c"/proc/self/cgroup", Some(b"4:memory:/other\n0::/pod/app\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.max", Some(b"max\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/cpu.max", Some(b"max 100000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/cpu.max", Some(b"150000 100000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/memory.max", Some(b"1000000000\n"));
    sys::set_file(
        c"/sys/fs/cgroup/pod/memory.stat",
        Some(b"anon 1\ninactive_file 40000000\nactive_file 10000000\n"),
    );
}

fn container_uses(bytes: &'static [u8]) {
    sys::set_file(c"/sys/fs/cgroup/pod/memory.current", Some(bytes));
}

/// Memory is short from nine tenths of the tightest limit on, not counting pages of
/// files, until its use is well below; or while tasks stall for memory.
fn memory_gets_short() {
    in_a_container();
    // A file that is absent at first is not opened again.
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.pressure", Some(b"some avg10=0.00 avg60=0\n"));
    for (bytes, short) in [
        (b"700000000\n", false),
        (b"949000000\n", false),
        (b"951000000\n", true),
        (b"910000000\n", true),
        (b"890000000\n", false),
        (b"940000000\n", false),
    ] {
        container_uses(bytes);
        assert_eq!(cgroup::update(), short, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(cgroup::is_pressed(), short);
    }
    container_uses(b"700000000\n");
    let pressure = |text| sys::set_file(c"/sys/fs/cgroup/pod/app/memory.pressure", Some(text));
    for (text, short) in [
        (&b"some avg10=9.99 avg60=0\n"[..], false),
        (b"some avg10=10.00 avg60=0\n", true),
        (b"some avg10=5.00 avg60=0\n", true),
        (b"some avg10=4.99 avg60=0\n", false),
    ] {
        pressure(text);
        assert_eq!(cgroup::update(), short, "{}", String::from_utf8_lossy(text));
    }
    // The limit of the inner level may be the tighter one.
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.high", Some(b"100000000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.current", Some(b"90000000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.stat", None);
    assert!(cgroup::update());
}

/// While memory is short, no budget is lent, all free memory is purged, and threads
/// put their magazines away. Afterwards all is as before.
fn short_memory_goes_back() {
    in_a_container();
    container_uses(b"700000000\n");
    warm_up();
    const MIB: usize = 1 << 20;
    let blocks = |count: usize| -> Vec<Block> {
        (0..count).map(|_| Block::new(&ALLOC, 1000, 8).unwrap()).collect()
    };
    let free = |blocks: Vec<Block>| blocks.into_iter().for_each(|block| block.free(&ALLOC));
    // Below the bound, so that it is not purged for being too much.
    free(blocks(3 << 10));
    assert!(usage::dirty() > MIB && usage::lend(64 << 10, 0));
    usage::repay(64 << 10);
    container_uses(b"990000000\n");
    // The container is checked when the program grows.
    let large = blocks(100_000);
    wait("free memory is purged", || usage::dirty() == 0);
    assert!(!usage::lend(64 << 10, 0));
    wait("magazines are put away", || {
        free(blocks(1));
        Strata::stats().cached_bytes() < 16 << 10
    });
    container_uses(b"700000000\n");
    wait("memory is no longer short", || !cgroup::is_pressed());
    assert!(usage::lend(64 << 10, 0));
    usage::repay(64 << 10);
    free(large);
    all_is_well(1);
}

/// Threads that stay until they are told to end, each started on one of these CPUs.
struct Threads(Vec<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Threads {
    fn on(cpus: Range<usize>) -> Self {
        Threads(cpus.map(Threads::start).collect())
    }

    fn start(cpu: usize) -> (mpsc::Sender<()>, JoinHandle<()>) {
        sys::set_current_cpu(Some(cpu));
        let (end, ended) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let body = move || {
            let blocks: Vec<_> = (0..1000).map(|_| Block::new(&ALLOC, 100, 8).unwrap()).collect();
            ready.send(()).unwrap();
            ended.recv().unwrap();
            blocks.into_iter().for_each(|block| block.free(&ALLOC));
        };
        let thread = std::thread::spawn(body);
        is_ready.recv().unwrap();
        (end, thread)
    }

    fn end(self) {
        for (end, thread) in self.0 {
            end.send(()).unwrap();
            thread.join().unwrap();
        }
    }
}

/// The shard for each of these CPUs.
fn nearest_of(cpus: Range<usize>) -> Vec<usize> {
    let nearest = |cpu| {
        sys::set_current_cpu(Some(cpu));
        arena::nearest()
    };
    cpus.map(nearest).collect()
}

/// Threads use as many shards as the container may use processors.
fn shards_fit_the_container() {
    in_a_container();
    let threads = Threads::on(0..8);
    assert_eq!(arena::count(), 2);
    assert!(nearest_of(0..8).iter().all(|shard| *shard < 2));
    threads.end();
    // The container may use more: somebody looks again.
    sys::set_file(c"/sys/fs/cgroup/pod/cpu.max", Some(b"700000 100000\n"));
    arena::fit_container();
    let threads = Threads::on(0..8);
    assert_eq!(arena::count(), 7);
    threads.end();
    all_is_well(1);
}

/// There are as many shards as CPUs that run threads, whatever their numbers. A thread that
/// moves to another CPU draws from its shard after a while.
fn shards_follow_the_cpus() {
    let block = Block::new(&ALLOC, 100, 8).unwrap();
    assert_eq!(nearest_of(40..48), [0; 8], "one thread, one shard");
    let threads = Threads::on(40..47);
    let mut shards = nearest_of(40..48);
    shards.sort_unstable();
    assert_eq!(shards, [0, 1, 2, 3, 4, 5, 6, 7]);
    // More CPUs may be used now.
    let more = Threads::on(500..600);
    let (few, all) = (nearest_of(40..48), nearest_of(500..600));
    assert_eq!(arena::count(), 64);
    assert!((0..64).all(|shard| few.contains(&shard) || all.contains(&shard)));
    // This thread moves. One look alone decides nothing.
    let cache = registry::current().unwrap();
    let to = (500..600).find(|cpu| nearest_of(*cpu..cpu + 1)[0] != cache.shard()).unwrap();
    let shard = arena::nearest();
    let mut blocks = Vec::new();
    while cache.shard() != shard {
        blocks.push(Block::new(&ALLOC, 9000, 8).unwrap());
        assert!(blocks.len() < 2000, "CPU {to} is not noticed");
    }
    assert!(blocks.len() > 300);
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
    block.free(&ALLOC);
    threads.end();
    more.end();
    all_is_well(1);
}

/// Files opened by one check of the container, and what it found.
fn files_of_a_look() -> (u64, bool) {
    let before = sys::calls(Call::ReadFile);
    let short = cgroup::update();
    (sys::calls(Call::ReadFile) - before, short)
}

/// Files that do not exist are not looked for again.
fn without_a_container() {
    for path in [c"/proc/self/cgroup", c"/proc/pressure/memory"] {
        sys::set_file(path, None);
    }
    assert!(!cgroup::update());
    assert_eq!(cgroup::cpus(), None);
    in_a_container();
    container_uses(b"999000000\n");
    assert_eq!(files_of_a_look(), (0, false));
}

/// Without a control group of version 2, the pressure of the whole system is checked,
/// and no other file is opened again.
fn without_version_2() {
    sys::set_file(c"/proc/self/cgroup", Some(b"4:memory:/pod\n"));
    let waits = |text| sys::set_file(c"/proc/pressure/memory", Some(text));
    waits(b"some avg10=0.00 avg60=0\n");
    assert_eq!(files_of_a_look(), (2, false));
    assert_eq!(files_of_a_look(), (1, false));
    waits(b"some avg10=12.00 avg60=0\n");
    assert_eq!(files_of_a_look(), (1, true));
    waits(b"some avg10=1.00 avg60=0\n");
    assert_eq!(files_of_a_look(), (1, false));
}

/// A limit may be set later: a group without a limit is still checked.
fn limits_come_later() {
    in_a_container();
    sys::set_file(c"/sys/fs/cgroup/pod/memory.max", Some(b"max\n"));
    container_uses(b"950000000\n");
    assert!(!cgroup::update() && !cgroup::update());
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.max", Some(b"1000000000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.current", Some(b"950000000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.stat", None);
    assert!(cgroup::update());
}

/// While no file can be opened, the last state is kept; afterwards all is as before.
fn descriptors_run_out() {
    in_a_container();
    container_uses(b"990000000\n");
    for first in 1..12 {
        sys::fail_nth(Call::ReadFile, first, u64::MAX);
        let found = cgroup::update();
        sys::clear_failures();
        assert!(cgroup::update(), "a file counts as absent since file {first} was not opened");
        container_uses(b"100000000\n");
        sys::fail_nth(Call::ReadFile, 1, u64::MAX);
        assert!(cgroup::update(), "memory is still short");
        assert_eq!(cgroup::cpus(), None);
        sys::clear_failures();
        assert!(!cgroup::update() && cgroup::cpus() == Some(2));
        container_uses(b"990000000\n");
        eprintln!("file {first}: {found}");
    }
}

/// Waits until a condition holds.
fn wait(what: &str, is: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what}: {:?}", Strata::stats());
}

/// Without a helper, only the allocator's own memory is compared with the limit that the
/// container had at the start: no thread of the program opens a file later.
fn short_without_a_helper(refused: bool) {
    in_a_container();
    sys::set_file(c"/sys/fs/cgroup/pod/memory.max", Some(b"34000000\n"));
    if refused {
        sys::fail_nth(Call::StartTask, 1, u64::MAX);
    } else {
        options::apply(b"helper:false");
    }
    let blocks =
        || -> Vec<Block> { (0..60_000).map(|_| Block::new(&ALLOC, 1000, 8).unwrap()).collect() };
    let free = |blocks: Vec<Block>| blocks.into_iter().for_each(|block| block.free(&ALLOC));
    free((0..1000).map(|_| Block::new(&ALLOC, 1000, 8).unwrap()).collect());
    let files = sys::calls(Call::ReadFile);
    let live = blocks();
    assert!(cgroup::is_pressed(), "no check when the program grew");
    free(live);
    free((0..10_000).map(|_| Block::new(&ALLOC, 1000, 8).unwrap()).collect());
    assert!(!cgroup::is_pressed(), "memory is no longer short");
    assert!(usage::dirty() < 33 << 20, "{} bytes are held", usage::dirty());
    assert_eq!(sys::calls(Call::ReadFile), files);
    assert!(usage::lend(64 << 10, 0));
    usage::repay(64 << 10);
}

/// However a program grows, the container is checked, and the helper is started if it
/// is allowed.
fn growth_is_seen(how: &str) {
    const STEP: usize = 8 << 20;
    in_a_container();
    container_uses(b"100000000\n");
    let large = |size| Block::new(&ALLOC, size, 8).unwrap();
    if how == "again" {
        // The heap was large once; all of that is unmapped, and nothing free is left.
        let huge: Vec<Block> = (0..8).map(|_| large(100 << 20)).collect();
        huge.into_iter().for_each(|block| block.free(&ALLOC));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!cgroup::is_pressed());
    container_uses(b"990000000\n");
    let started = sys::calls(Call::StartTask);
    let mut held = Vec::new();
    match how {
        "runs" => held.extend((0..160).map(|_| large(500 << 10))),
        "realloc" => {
            let mut block = large(STEP);
            for size in (2..12).map(|n| n * STEP) {
                // SAFETY: the block is ours; the size is not 0.
                let ptr = unsafe { ALLOC.realloc(block.ptr, block.layout, size) };
                assert!(!ptr.is_null());
                block = Block { ptr, layout: layout(size, 8) };
            }
            held.push(block);
        }
        _ => held.extend((0..10).map(|_| large(STEP))),
    }
    large(2 << 20).free(&ALLOC);
    wait("no check", || cgroup::is_pressed());
    // The heap that was large once may still have its helper.
    assert!(how == "again" || sys::calls(Call::StartTask) > started, "{how}: the helper");
    container_uses(b"100000000\n");
    wait("memory is no longer short", || {
        large(2 << 20).free(&ALLOC);
        !cgroup::is_pressed()
    });
    held.into_iter().for_each(|block| block.free(&ALLOC));
}

/// A small program opens these files at its start only.
fn small_programs_never_look() {
    in_a_container();
    container_uses(b"990000000\n");
    Block::new(&ALLOC, 1, 1).unwrap().free(&ALLOC);
    let at_start = sys::calls(Call::ReadFile);
    assert_eq!(at_start, 7, "the group, and two limits at each level");
    for seed in 1..50u64 {
        let mut random = Random(seed);
        let blocks: Vec<Block> =
            (0..2000).map(|_| Block::new(&ALLOC, random.size(12), 8).unwrap()).collect();
        blocks.into_iter().for_each(|block| block.free(&ALLOC));
    }
    assert_eq!((sys::calls(Call::ReadFile), cgroup::is_pressed()), (at_start, false));
}

/// Whoever looks through the threads may be slower than a thread that ends and the purge
/// of its cache: the heap stays, and the cache reads as anything.
fn a_cache_ends_meanwhile() {
    warm_up();
    let (began, end) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            Block::new(&ALLOC, 100, 8).unwrap().free(&ALLOC);
            began.wait();
            end.wait();
        });
        began.wait();
        let seen: Vec<_> = registry::threads().collect();
        assert!(!seen.is_empty());
        end.wait();
        other.join().unwrap();
        assert!(registry::purge() != 0, "no cache was purged");
        for (heap, cache) in seen {
            heap.observe_idle(0);
            cache.request_flush();
            assert!(!heap.has_batches() && cache.cached(3) <= 8191);
        }
    });
    all_is_well(1);
}

/// Huge pages, by the mode of the system and the option `thp`: whether new mappings are
/// advised for or against them, and whether dense chunks are collapsed.
fn huge_pages(system: sys::HugePages, chosen: &str) {
    sys::set_huge_pages(Some(system));
    options::apply(format!("helper:false,thp:{chosen}").as_bytes());
    let fill = |count: usize| -> Vec<Block> {
        (0..count).map(|_| Block::new(&ALLOC, 1000, 8).unwrap()).collect()
    };
    let collapse = || {
        let before = sys::calls(Call::Collapse);
        huge_page_collapse::begin();
        while huge_page_collapse::step(64) {}
        sys::calls(Call::Collapse) - before
    };
    let blocks = fill(60 << 10);
    let told = sys::calls(Call::AdviseHuge);
    assert!(told >= 28, "{system:?} {chosen}: {told} times, whatever the mode");
    // All chunks are dense but the one that is being filled.
    let collapsed = collapse();
    let wanted = chosen == "auto" && system != sys::HugePages::Never;
    assert_eq!(collapsed > 20, wanted, "{system:?} {chosen}: {collapsed}");
    assert!(wanted || collapsed == 0);
    // Now one block in four is live, everywhere.
    let (stay, go): (Vec<_>, Vec<_>) =
        blocks.into_iter().enumerate().partition(|(n, _)| n % 4 == 0);
    go.into_iter().for_each(|(_, block)| block.free(&ALLOC));
    assert!(collapse() < 3, "sparse chunks are not collapsed");
    stay.into_iter().for_each(|(_, block)| block.free(&ALLOC));
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    let words: Vec<&str> = case.split(' ').collect();
    let [cpus, words @ ..] = &words[..] else { panic!("{case}?") };
    sys::set_cpu_count(Some(cpus.parse().unwrap()));
    match words {
        ["each-call"] => failures::each_call_fails(),
        ["each-kind"] => failures::each_kind_fails(),
        ["all-calls"] => failures::all_calls_fail(),
        ["set-up", k, count] => failures::set_up_fails(k.parse().unwrap(), count.parse().unwrap()),
        ["zero"] => failures::zero_without_purging(),
        ["releases"] => failures::releases_fail(),
        ["random"] => random_failures(),
        ["shards"] => many_shards(),
        ["guards"] => addresses::guards_around_metadata(),
        ["window"] => addresses::small_window(),
        ["released", limited, live] => {
            addresses::released(*limited == "limited", live.parse().unwrap());
        }
        ["short"] => memory_gets_short(),
        ["goes-back"] => short_memory_goes_back(),
        ["fits"] => shards_fit_the_container(),
        ["follows"] => shards_follow_the_cpus(),
        ["free"] => without_a_container(),
        ["version-1"] => without_version_2(),
        ["later"] => limits_come_later(),
        ["descriptors"] => descriptors_run_out(),
        ["no-helper", how] => short_without_a_helper(*how == "refused"),
        ["grows", how] => growth_is_seen(how),
        ["cache-ends"] => a_cache_ends_meanwhile(),
        ["small"] => small_programs_never_look(),
        ["huge-pages", system, chosen] => {
            let system = match *system {
                "always" => sys::HugePages::Always,
                "advised" => sys::HugePages::Advised,
                _ => sys::HugePages::Never,
            };
            huge_pages(system, chosen);
        }
        ["bits", bits, page] => {
            addresses::few_address_bits(bits.parse().unwrap(), page.parse().unwrap());
        }
        ["pages", bytes] => addresses::large_pages(bytes.parse().unwrap()),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn a_cache_may_end_while_others_look_at_it() {
    common::succeeds("2 cache-ends");
}

#[test]
fn any_one_call_may_fail() {
    for cpus in [1, 2, 8] {
        common::succeeds(&format!("{cpus} each-call"));
    }
}

#[test]
fn any_kind_of_call_may_fail_once_or_for_long() {
    common::succeeds("2 each-kind");
    common::succeeds("8 each-kind");
}

#[test]
fn all_calls_may_fail_for_a_while() {
    common::succeeds("2 all-calls");
}

#[test]
fn setting_up_may_fail_and_is_tried_again() {
    for k in 1..=14 {
        common::succeeds(&format!("2 set-up {k} 1"));
        common::succeeds(&format!("8 set-up {k} 1000000"));
    }
}

#[test]
fn zeroed_blocks_are_zero_when_purging_fails() {
    common::succeeds("1 zero");
    common::succeeds("8 zero");
}

#[test]
fn releasing_may_fail() {
    common::succeeds("2 releases");
}

#[test]
fn random_programs_survive_random_failures() {
    for cpus in [1, 2, 8] {
        common::succeeds(&format!("{cpus} random"));
    }
}

#[test]
fn shards_work_together() {
    for cpus in [1, 2, 8] {
        common::succeeds(&format!("{cpus} shards"));
    }
}

#[test]
fn metadata_lies_between_guards() {
    common::succeeds("2 guards");
}

#[test]
fn a_limit_on_addresses_makes_a_small_window() {
    common::succeeds("2 window");
}

#[test]
fn an_unload_releases_all_but_live_blocks() {
    for limited in ["limited", "not"] {
        common::succeeds(&format!("2 released {limited} 0"));
        common::succeeds(&format!("2 released {limited} 7"));
        common::succeeds(&format!("8 released {limited} 0"));
    }
}

#[test]
fn pages_may_be_larger() {
    common::succeeds("2 pages 16384");
    common::succeeds("2 pages 65536");
}

/// 39 and 42 bits are those of small kernels on AArch64.
#[test]
fn a_kernel_may_have_few_address_bits() {
    for bits in [39, 42, 47] {
        for page in [4 << 10, 16 << 10, 64 << 10] {
            common::succeeds(&format!("2 bits {bits} {page}"));
        }
    }
}

#[test]
fn a_container_runs_short_of_memory() {
    common::succeeds("2 short");
    common::succeeds("2 goes-back");
}

#[test]
fn a_container_has_as_many_shards_as_processors() {
    common::succeeds("8 fits");
}

#[test]
fn shards_are_those_of_the_cpus_in_use() {
    common::succeeds("8 follows");
}

#[test]
fn without_limits_files_are_not_opened_again() {
    common::succeeds("2 free");
    common::succeeds("2 version-1");
    common::succeeds("1 small");
}

#[test]
fn limits_may_come_later() {
    common::succeeds("2 later");
}

#[test]
fn descriptors_may_run_out() {
    common::succeeds("2 descriptors");
}

#[test]
fn short_memory_passes_without_a_helper() {
    common::succeeds("2 no-helper forbidden");
    common::succeeds("2 no-helper refused");
}

#[test]
fn however_a_program_grows_the_container_is_checked() {
    for how in ["huge", "runs", "realloc", "again"] {
        common::succeeds(&format!("2 grows {how}"));
    }
}

#[test]
fn huge_pages_are_as_chosen_in_each_mode_of_the_system() {
    for system in ["always", "advised", "never"] {
        for chosen in ["auto", "never", "always"] {
            common::succeeds(&format!("2 huge-pages {system} {chosen}"));
        }
    }
}

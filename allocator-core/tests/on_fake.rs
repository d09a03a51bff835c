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
    "../src/profile/mod.rs" profile
    "../src/guarded/mod.rs" guarded
    "../src/thread/mod.rs" thread
    "../src/background/mod.rs" background
    "../src/process/mod.rs" process
    "../src/alloc.rs" alloc
    "../src/free.rs" free
    "../src/realloc.rs" realloc
    "../src/hardened/mod.rs" hardened
    "../src/scope.rs" scope
    "../src/report/mod.rs" report
    "../src/strata.rs" strata
}

#[path = "on_fake/workload.rs"]
mod workload;

#[path = "on_fake/failures.rs"]
mod failures;

#[path = "on_fake/first.rs"]
mod first;

#[path = "on_fake/spare.rs"]
mod spare;

#[path = "on_fake/standby.rs"]
mod standby;

#[path = "on_fake/addresses.rs"]
mod addresses;

#[path = "on_fake/container.rs"]
mod container;

#[path = "on_fake/stocks.rs"]
mod stocks;

#[path = "on_fake/counters.rs"]
mod counters;

#[path = "on_fake/caches.rs"]
mod caches;

#[path = "on_fake/vanish.rs"]
mod vanish;

use background::huge_page_collapse;
use background::span_purge;
use common::model::{self, Deed, Step};
use common::{Block, Random};
use pages::committed::COMMITTED;
use pages::thp;
use pages::usage;
use process::options;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use spans::page_map::MAP;
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

/// A thread that frees nothing but what others allocated flushes what it keeps when it is
/// requested, too, at its next free.
fn one_that_only_frees_is_asked() {
    options::apply(b"helper:false");
    let (send, receive) = std::sync::mpsc::channel::<Option<Block>>();
    let (did, done) = std::sync::mpsc::channel();
    let mut others: Vec<_> = registry::threads().map(|(heap, _)| heap.id()).collect();
    let freeing = std::thread::spawn(move || {
        // Now it has a cache.
        Block::new(&ALLOC, 100, 8).unwrap().free(&ALLOC);
        did.send(()).unwrap();
        while let Some(block) = receive.recv().unwrap() {
            block.free(&ALLOC);
            did.send(()).unwrap();
        }
    });
    let have_freed = |block| {
        send.send(Some(block)).unwrap();
        done.recv().unwrap();
    };
    let block = || Block::new(&ALLOC, 1000, 8).unwrap();
    done.recv().unwrap();
    block().free(&ALLOC);
    others.extend(registry::current().map(|cache| cache.id()));
    let theirs = || registry::threads().find(|(heap, _)| !others.contains(&heap.id())).unwrap().1;
    let [first, second, third] = [block(), block(), block()];
    have_freed(first);
    have_freed(second);
    Strata::thread_idle();
    let before = usage::dirty();
    theirs().request_flush();
    have_freed(third);
    let after = usage::dirty();
    send.send(None).unwrap();
    freeing.join().unwrap();
    assert!(after >= before + (32 << 10), "{before} to {after}: their span is free");
    all_is_well(1);
}

/// A thread that frees blocks of others, and never allocates, gets a cache, too, once it has
/// freed many: with one, it takes no lock for each block.
fn one_that_only_frees_gets_a_cache() {
    let make = |count: usize| -> Vec<Block> {
        (0..count).map(|_| Block::new(&ALLOC, 64, 8).unwrap()).collect()
    };
    let freeing = |blocks: Vec<Block>| {
        let free = move || {
            blocks.into_iter().for_each(|block| block.free(&ALLOC));
            registry::current().is_some()
        };
        std::thread::spawn(free).join().unwrap()
    };
    assert!(!freeing(make(10)), "a thread that frees little needs none");
    assert!(freeing(make(300)));
    all_is_well(1);
}

/// A search through spans splits no huge page for a little memory, but purges that of other
/// chunks; where much can be purged, it does.
fn huge_pages_stay() {
    sys::set_huge_pages(Some(sys::HugePages::Advised));
    options::apply(b"helper:false,thp:auto");
    let mut blocks: Vec<Option<Block>> =
        (0..60 << 10).map(|_| Block::new(&ALLOC, 1000, 8)).collect();
    let whole = || (0..MAP.used_chunks()).filter(|index| thp::is_in_huge_page(*index)).count();
    let born = whole();
    assert!(born > 10);
    // Some 13 blocks of each 1000, side by side, and then half of all.
    let mut purge = |each: usize, go: usize| {
        let goes = |n: usize| n % each < go;
        blocks.iter_mut().enumerate().filter(|(n, _)| goes(*n)).for_each(|(_, block)| {
            if let Some(block) = block.take() {
                block.free(&ALLOC);
            }
        });
        Strata::thread_idle();
        span_purge::search(usize::MAX, false).bytes
    };
    assert!(purge(1000, 13) > 20 * 4096, "of small pages");
    assert_eq!(whole(), born);
    assert!(purge(100, 50) > 20 << 20);
    assert!(whole() < 2, "{} are whole", whole());
    blocks.into_iter().flatten().for_each(|block| block.free(&ALLOC));
    all_is_well(0);
}

/// Huge pages, by the mode of the system and the option `thp`: whether new mappings are
/// advised for or against them, whether the chunks of a heap that has 32 MiB of spans get them
/// at once, and whether other dense chunks are collapsed.
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
    let wanted = chosen == "auto" && system != sys::HugePages::Never;
    let whole = || (0..MAP.used_chunks()).filter(|index| thp::is_in_huge_page(*index)).count();
    assert!(whole() < 20 && (whole() > 10) == wanted, "{system:?} {chosen}: {}", whole());
    // All others are dense, too, but the one that is being filled.
    let collapsed = collapse();
    assert_eq!(collapsed > 10, wanted, "{system:?} {chosen}: {collapsed}");
    assert!(wanted || collapsed == 0);
    // Now one block in four is live, everywhere.
    let (stay, go): (Vec<_>, Vec<_>) =
        blocks.into_iter().enumerate().partition(|(n, _)| n % 4 == 0);
    go.into_iter().for_each(|(_, block)| block.free(&ALLOC));
    assert!(collapse() < 3, "sparse chunks are not collapsed");
    stay.into_iter().for_each(|(_, block)| block.free(&ALLOC));
}

/// With one task, the free that has too much free memory purges it. What was needed again
/// puts off the next purge, by the clock alone: nothing is asked meanwhile.
fn purges_take_turns() {
    const HELD: usize = 200 << 20;
    const BOUND: usize = 40 << 20;
    let mut now = 1_000_000;
    sys::set_monotonic_ms(Some(now));
    options::apply(b"helper:false,thp:never");
    let burst = || -> usize {
        let blocks: Vec<Block> =
            (0..HELD >> 12).map(|_| Block::new(&ALLOC, 4096, 8).unwrap()).collect();
        assert!(COMMITTED.bytes() >= HELD);
        blocks.into_iter().for_each(|block| block.free(&ALLOC));
        COMMITTED.bytes()
    };
    let left = burst();
    assert!(left <= BOUND, "the first burst left {left}");
    let calls = sys::calls(Call::Purge);
    for round in 0..5 {
        let left = burst();
        assert!(left >= HELD, "burst {round} in a row left {left}");
    }
    assert_eq!(sys::calls(Call::Purge), calls, "purges that are put off call nothing");
    now += 5_000;
    sys::set_monotonic_ms(Some(now));
    let left = burst();
    assert!(left <= BOUND, "five seconds later {left} are left");
    now += 60_000;
    sys::set_monotonic_ms(Some(now));
    for round in 0..3 {
        let left = burst();
        assert!(left <= BOUND, "after a minute, burst {round} left {left}");
    }
    sys::set_monotonic_ms(None);
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
        ["no-holes"] => failures::refused_purges_make_no_holes(),
        ["all-calls"] => failures::all_calls_fail(),
        ["again-and-again"] => failures::refusals_are_cheap(),
        ["set-up", k, count] => failures::set_up_fails(k.parse().unwrap(), count.parse().unwrap()),
        ["zero"] => failures::zero_without_purging(),
        ["releases"] => failures::releases_fail(),
        ["clock"] => failures::the_clock_is_refused(),
        ["random"] => random_failures(),
        ["first", "at-once"] => first::at_once(),
        ["first", request] => first::alone(request),
        ["shards"] => many_shards(),
        ["guards"] => addresses::guards_around_metadata(),
        ["tables"] => addresses::small_tables(),
        ["area"] => addresses::others_in_the_area(),
        ["others", places] => addresses::mappings_of_others(*places == "many"),
        ["released", live] => addresses::released(live.parse().unwrap()),
        ["parts", of] => container::limits_are_parts(of),
        ["short"] => container::memory_gets_short(),
        ["goes-back"] => container::short_memory_goes_back(),
        ["fits"] => container::shards_fit_the_container(),
        ["follows"] => container::shards_follow_the_cpus(),
        ["free"] => container::without_a_container(),
        ["no-group"] => container::without_a_group(),
        ["version-1"] => container::version_1_is_followed(),
        ["no-mounts", version] => container::mounts_are_unknown(version),
        ["later"] => container::limits_come_later(),
        ["descriptors"] => container::descriptors_run_out(),
        ["no-helper", how] => container::short_without_a_helper(*how == "refused"),
        ["grows", how] => container::growth_is_seen(how),
        ["counters", case] => counters::child(case),
        ["stocks", "full"] => stocks::nobody_puts_back(),
        ["stocks", "held-back"] => stocks::what_is_held_back_is_counted(),
        ["stocks", "limit"] => stocks::what_is_held_back_makes_room(),
        ["caches", case] => caches::child(case),
        ["vanish", first] => vanish::at_each_step(first.parse().unwrap()),
        ["asked"] => one_that_only_frees_is_asked(),
        ["only-frees"] => one_that_only_frees_gets_a_cache(),
        ["turns"] => purges_take_turns(),
        ["spare", "serve"] => spare::serve_whatever_comes(),
        ["spare", "growth"] => spare::serve_growth(),
        ["spare", "tails"] => spare::tails_go_back(),
        ["spare", "late"] => spare::purge_comes_late(),
        ["spare", "refused"] => spare::nothing_is_lost(),
        ["spare", "runs"] => spare::serve_runs_that_grow(),
        ["spare", "grown"] => spare::serve_small_blocks_that_grow(),
        ["spare", "vanishes"] => spare::vanishes_while_it_promotes(),
        ["spare", "moves"] => spare::serve_blocks_that_move(),
        ["spare", "room"] => spare::make_room_for_growth(),
        ["standby", "serves"] => standby::serves_as_many_chunks(),
        ["standby", "yields"] => standby::yields_to_others(),
        ["standby", "limited"] => standby::not_where_addresses_are_limited(),
        ["standby", "idle"] => standby::goes_back_when_nobody_needs_it(),
        ["standby", "fork"] => standby::outlives_a_fork(),
        ["standby", "threads"] => standby::serves_threads(),
        ["spare", "sparse", huge_pages] => spare::sparse_spans_become_empty(huge_pages),
        ["spare", "searches"] => spare::searches_end(),
        ["small"] => container::small_programs_never_look(),
        ["huge-pages", "stay"] => huge_pages_stay(),
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
fn the_helper_works_on_when_the_clock_is_refused() {
    common::succeeds("2 clock");
}

#[test]
fn what_is_refused_again_and_again_takes_few_calls() {
    common::succeeds("2 again-and-again");
}

#[test]
fn a_chunk_of_runs_is_whole_in_the_child_of_a_fork() {
    common::succeeds("2 spare vanishes");
}

#[test]
fn blocks_that_move_use_free_memory() {
    common::succeeds("2 spare moves");
}

#[test]
fn free_memory_that_does_not_fit_makes_room() {
    common::succeeds("2 spare room");
}

#[test]
fn limits_may_be_parts_of_the_container() {
    common::succeeds("2 parts container");
    common::succeeds("2 parts nothing");
}

#[test]
fn sparse_spans_become_empty() {
    for huge_pages in ["never", "auto"] {
        common::succeeds(&format!("2 spare sparse {huge_pages}"));
    }
}

#[test]
fn searches_of_a_large_heap_end() {
    common::succeeds("2 spare searches");
}

#[test]
fn a_purge_that_comes_late_spares_what_is_there_by_then() {
    common::succeeds("2 spare late");
}

#[test]
fn a_thread_that_only_frees_is_asked_too() {
    common::succeeds("2 asked");
}

#[test]
fn a_thread_that_only_frees_gets_a_cache() {
    common::succeeds("2 only-frees");
}

#[test]
fn what_was_needed_again_puts_off_the_next_purge() {
    common::succeeds("2 turns");
}

#[test]
fn freed_chunks_serve_whatever_comes_next() {
    for case in ["serve", "growth", "runs", "grown"] {
        common::succeeds(&format!("2 spare {case}"));
    }
}

#[test]
fn the_huge_block_freed_last_serves_the_next_one() {
    for case in ["serves", "yields", "limited", "idle", "fork", "threads"] {
        common::succeeds(&format!("2 standby {case}"));
    }
}

#[test]
fn what_lies_behind_a_huge_block_goes_back() {
    common::succeeds("2 spare tails");
}

#[test]
fn what_the_system_refuses_goes_back_later() {
    common::succeeds("2 spare refused");
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
fn a_purge_that_is_refused_is_none() {
    common::succeeds("2 no-holes");
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
fn any_request_may_be_the_first() {
    for request in first::REQUESTS {
        common::succeeds(&format!("2 first {request}"));
    }
}

#[test]
fn threads_may_make_the_first_request_at_once() {
    for _ in 0..10 {
        common::succeeds("2 first at-once");
        common::succeeds("8 first at-once");
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
fn tables_grow_with_the_heap() {
    common::succeeds("2 tables");
}

#[test]
fn mappings_of_others_are_passed_over() {
    for places in ["one", "many"] {
        common::succeeds(&format!("2 others {places}"));
    }
    common::succeeds("2 area");
}

#[test]
fn an_unload_releases_all_but_live_blocks() {
    common::succeeds("2 released 0");
    common::succeeds("2 released 7");
    common::succeeds("8 released 0");
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
fn hardened_stocks_are_full_and_near_a_limit() {
    common::succeeds("2 stocks full");
    common::succeeds("2 stocks held-back");
    common::succeeds("2 stocks limit");
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
    common::succeeds("2 no-group");
    common::succeeds("1 small");
}

#[test]
fn groups_may_be_of_version_1() {
    common::succeeds("2 version-1");
    common::succeeds("2 no-mounts 1");
    common::succeeds("2 no-mounts 2");
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
fn huge_pages_are_split_for_much_only() {
    common::succeeds("2 huge-pages stay");
}

#[test]
fn huge_pages_are_as_chosen_in_each_mode_of_the_system() {
    for system in ["always", "advised", "never"] {
        for chosen in ["auto", "never", "always"] {
            common::succeeds(&format!("2 huge-pages {system} {chosen}"));
        }
    }
}

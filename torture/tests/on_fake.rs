//! The same operations on the fake system, where any call may fail: the allocator's files
//! are compiled once more, with the fake in place of the system.

use allocator_sys::fake as sys;

/// The modules of the allocator, at the crate's root as there.
macro_rules! modules {
    ($($path:literal $name:ident)*) => {
        $(#[path = $path]
        #[allow(dead_code, unreachable_pub, unexpected_cfgs, reason = "a part of it is used")]
        mod $name;)*
    };
}

modules! {
    "../../allocator-core/src/base/mod.rs" base
    "../../allocator-core/src/spans/mod.rs" spans
    "../../allocator-core/src/heaps/mod.rs" heaps
    "../../allocator-core/src/pages/mod.rs" pages
    "../../allocator-core/src/reclaim/mod.rs" reclaim
    "../../allocator-core/src/remote/mod.rs" remote
    "../../allocator-core/src/profile/mod.rs" profile
    "../../allocator-core/src/guarded/mod.rs" guarded
    "../../allocator-core/src/thread/mod.rs" thread
    "../../allocator-core/src/background/mod.rs" background
    "../../allocator-core/src/process/mod.rs" process
    "../../allocator-core/src/alloc.rs" alloc
    "../../allocator-core/src/free.rs" free
    "../../allocator-core/src/realloc.rs" realloc
    "../../allocator-core/src/scope.rs" scope
    "../../allocator-core/src/report/mod.rs" report
    "../../allocator-core/src/strata.rs" strata
}

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};

use strata::Strata;
use sys::Call;
use torture::lanes::Lanes;
use torture::subject::{Numbers, Subject};
use torture::violation;
use torture::world::{Settings, World};

/// The calls that may fail without a lasting effect.
const CALLS: [Call; 8] = [
    Call::Reserve,
    Call::Commit,
    Call::MapAt,
    Call::ReserveAt,
    Call::Purge,
    Call::Protect,
    Call::Resize,
    Call::MoveTo,
];

struct OnFake(Strata);

/// Failures that were planned.
static PLANNED: AtomicU64 = AtomicU64::new(0);

// SAFETY: as sound as the allocator.
unsafe impl GlobalAlloc for OnFake {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.0.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { self.0.dealloc(ptr, layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.0.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.0.realloc(ptr, layout, new) }
    }
}

impl Subject for OnFake {
    fn numbers(&self) -> Option<Numbers> {
        let stats = Strata::stats();
        Some(Numbers {
            live: stats.live_bytes(),
            large: stats.large_bytes(),
            cached: stats.cached_bytes(),
            mapped: stats.mapped_bytes(),
            committed: stats.committed_bytes(),
            free: stats.free_bytes(),
            metadata: stats.metadata_bytes(),
        })
    }

    fn purge(&self) {
        Strata::purge();
    }

    fn thread_idle(&self) {
        Strata::thread_idle();
    }

    fn set_limit(&self, bytes: usize) {
        Strata::set_limit(bytes);
    }

    fn set_hard_limit(&self, bytes: usize) -> bool {
        Strata::set_hard_limit(bytes);
        true
    }

    fn fail(&self, calls: u8, nth: u64, count: u64) -> bool {
        match CALLS.get(usize::from(calls) % (CALLS.len() + 1)) {
            Some(call) => sys::fail_nth(*call, nth, count),
            None => sys::fail_any_nth(nth, count),
        }
        PLANNED.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn stop_failing(&self) -> u64 {
        sys::clear_failures();
        0
    }
}

/// Random inputs, as the fuzzer makes them: fewer operations for all of a process, and more
/// failures.
fn input(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..400 {
        let mut next = random.u64(..).to_le_bytes();
        if random.u8(..8) == 0 {
            // The kind for failures.
            next[0] = 238;
        }
        bytes.extend_from_slice(&next);
    }
    bytes
}

/// Set for a process that runs the inputs: what fails there would fail the other tests.
const ALONE: &str = "TORTURE_ALONE";

#[test]
fn nothing_breaks_whatever_fails() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "child", "--nocapture"]).env(ALONE, "1");
    assert!(alone.status().unwrap().success());
}

#[test]
fn child() {
    if std::env::var_os(ALONE).is_some() {
        run();
    }
}

fn run() {
    static SUBJECT: OnFake = OnFake(Strata::new());
    sys::set_cpu_count(Some(2));
    let settings = Settings { forks: false, signals: false, filters: false, ..Settings::default() };
    let world = World::new(&SUBJECT, settings);
    let mut lanes = Lanes::new(world);
    let mut random = fastrand::Rng::with_seed(0x5eed);
    for number in 0..150 {
        let input = input(&mut random);
        let file = std::env::temp_dir().join("torture-on-fake");
        std::fs::write(&file, &input).unwrap();
        violation::set_context(format!("input {number} on the fake, in {}", file.display()));
        lanes.run(&input);
    }
    world.finish();
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (operations, refused) = (of(&world.tally.operations), of(&world.tally.refused));
    println!("{operations} operations, {} failures, {refused} refused", of(&PLANNED));
    assert!(of(&PLANNED) > 1000 && refused > 500);
}

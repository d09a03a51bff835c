//! Each option is tested by its effect: set in the program's source, in the
//! environment, and at run time. The limits on memory are tested here, too.

mod common;

use allocator_core::{Config, Strata, When};
use common::{Block, Ended, layout, mib};
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::CStr;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const MIB: usize = 1 << 20;
const LIMIT: usize = 64 * MIB;

/// A global allocator with the options that a child was started for. All these
/// are handles to one allocator, and the first allocation decides its options.
struct Chosen;

#[global_allocator]
static GLOBAL: Chosen = Chosen;

/// The sets of options, each with its name.
static HANDLES: [(&CStr, Strata); 9] = [
    (c"none", Strata::new()),
    (c"empty", Strata::with_config(Config::new())),
    (c"help", Strata::with_config(Config::new().help(true).limit(96 * MIB).huge_guards(true))),
    (c"helper", Strata::with_config(Config::new().helper(false))),
    (c"guards", Strata::with_config(Config::new().huge_guards(true))),
    (c"limit", Strata::with_config(Config::new().limit(LIMIT))),
    (c"hard", Strata::with_config(Config::new().hard_limit(LIMIT))),
    (c"stats", Strata::with_config(Config::new().stats(When::Exit).verbose(true))),
    (c"both", Strata::with_config(Config::new().hard_limit(LIMIT).helper(false))),
];

/// The variable that names a child's set of options.
const BUILT: &CStr = c"STRATA_TEST_BUILT";

fn handle() -> &'static Strata {
    static PLACE: AtomicUsize = AtomicUsize::new(usize::MAX);
    if PLACE.load(Relaxed) == usize::MAX {
        // SAFETY: the variable, if there is one, is a string.
        let name =
            unsafe { libc::getenv(BUILT.as_ptr()).as_ref().map(|name| CStr::from_ptr(name)) };
        let place = HANDLES.iter().position(|handle| Some(handle.0) == name);
        PLACE.store(place.unwrap_or(0), Relaxed);
    }
    &HANDLES[PLACE.load(Relaxed)].1
}

// SAFETY: each of the handles is an allocator, and all serve the same blocks.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller; as all below.
        unsafe { handle().alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { handle().dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { handle().alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { handle().realloc(ptr, layout, new_size) }
    }
}

/// Runs a case with options from the source and from the environment.
fn run(case: &str, built: &str, environment: &str) -> Ended {
    let mut command = common::command(case);
    let built_variable = BUILT.to_str().unwrap();
    command.env(built_variable, built).env("STRATA_CONF", environment).output().unwrap().into()
}

fn succeeds(case: &str, built: &str, environment: &str) -> String {
    let ended = run(case, built, environment);
    let said = ended.err.clone();
    common::check_success(&format!("{case} ({built}; {environment})"), ended);
    said
}

fn committed() -> usize {
    Strata::stats().committed_bytes()
}

/// Writes up to the end of a block above 1 MiB, then `beyond` bytes behind its
/// end. Another block lies above it.
fn run_over_the_end(beyond: usize) {
    let size = 2 << 20;
    // SAFETY: the sizes are not 0; the last write is the misuse.
    unsafe {
        let low = GLOBAL.alloc(layout(size, 8));
        let high = GLOBAL.alloc(layout(size, 8));
        assert!(!low.is_null() && high > low);
        low.write_bytes(1, size);
        println!("within");
        black_box(low).add(size + beyond).write_volatile(1);
    }
}

/// A guarded block above which nothing is grows and shrinks where it is.
fn guarded_blocks_stay() {
    // SAFETY: the block is ours, and as large as is said.
    unsafe {
        let block = GLOBAL.alloc(layout(2 * MIB, 8));
        for (old, new) in [(2, 5), (5, 6), (6, 20), (20, 3), (3, 9)] {
            assert_eq!(GLOBAL.realloc(block, layout(old * MIB, 8), new * MIB), block, "{new} MiB");
            block.add(new * MIB - 1).write(1);
        }
        GLOBAL.dealloc(block, layout(9 * MIB, 8));
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Frees far more than may be held, and waits until most of it is purged.
/// Returns whether a thread was started for that.
fn is_helped() -> bool {
    let before = threads();
    let base = committed();
    let blocks: Vec<_> = (0..1000).map(|_| Block::new(&GLOBAL, 100 << 10, 8)).collect();
    blocks.into_iter().flatten().for_each(|block| block.free(&GLOBAL));
    let mut most = before;
    for i in 0.. {
        assert!(i < 600, "{:.1} MiB", mib(committed()));
        most = most.max(threads());
        if i > 3 && committed() < base + 36 * MIB {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        Block::new(&GLOBAL, 5000, 8).unwrap().free(&GLOBAL);
    }
    most > before
}

/// A linked list of blocks. Each holds a pointer to the one before, so no other
/// memory is needed to keep them.
struct Chain {
    layout: Layout,
    last: *mut u8,
    count: usize,
}

// SAFETY: a block may be used by any thread that holds it.
unsafe impl Send for Chain {}

impl Chain {
    fn new(size: usize) -> Chain {
        Chain { layout: layout(size, 8), last: std::ptr::null_mut(), count: 0 }
    }

    /// Allocates one more block. False if there is none.
    fn grow(&mut self) -> bool {
        // SAFETY: the size is not 0, and the blocks are large enough.
        unsafe {
            let block = GLOBAL.alloc(self.layout);
            if block.is_null() {
                return false;
            }
            block.cast::<*mut u8>().write(self.last);
            block.add(self.layout.size() - 1).write(1);
            self.last = block;
        }
        self.count += 1;
        true
    }

    fn shrink(&mut self) -> bool {
        if self.last.is_null() {
            return false;
        }
        // SAFETY: the blocks are ours, and each points to the one before.
        unsafe {
            let before = self.last.cast::<*mut u8>().read();
            GLOBAL.dealloc(self.last, self.layout);
            self.last = before;
        }
        self.count -= 1;
        true
    }

    fn bytes(&self) -> usize {
        self.count * self.layout.size()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        while self.shrink() {}
    }
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static SAID: AtomicUsize = AtomicUsize::new(0);

/// The callback above the limit. It allocates, frees, and goes further above.
fn above(bytes: usize) {
    CALLS.fetch_add(1, Relaxed);
    SAID.store(bytes, Relaxed);
    let text = format!("{bytes} bytes: {:?}", vec![bytes; 1000]);
    let mut chain = Chain::new(3000);
    while chain.bytes() < MIB {
        assert!(chain.grow());
    }
    let large = Block::new(&GLOBAL, 4 * MIB, 8).unwrap();
    large.free(&GLOBAL);
    assert!(black_box(text).len() > 1000);
}

fn calls() -> usize {
    CALLS.load(Relaxed)
}

/// The callback runs once when too much is committed, and again only after it
/// was clearly less. For blocks of one size.
fn told(size: usize) {
    Strata::on_limit(above);
    CALLS.store(0, Relaxed);
    assert!(committed() < LIMIT / 8);
    let mut chain = Chain::new(size);
    for round in 1..4 {
        while calls() < round {
            assert!(chain.bytes() <= LIMIT, "{size}: no call in round {round}");
            assert!(chain.grow());
        }
        let said = SAID.load(Relaxed);
        assert!(said > LIMIT && said < LIMIT + 8 * MIB, "{said} bytes");
        // Staying above, or going a little below, calls nothing.
        for _ in 0..3 {
            let there = chain.count;
            while chain.bytes() < LIMIT + 20 * MIB {
                assert!(chain.grow());
            }
            while chain.count > there {
                chain.shrink();
            }
        }
        assert_eq!(calls(), round, "{size}: called again");
        while chain.bytes() > LIMIT / 4 * 3 {
            chain.shrink();
        }
        Strata::purge();
        assert!(committed() < LIMIT / 8 * 7, "{size}: {:.1} MiB", mib(committed()));
    }
    // Without a limit, nothing is called.
    Strata::set_limit(0);
    while chain.bytes() < 2 * LIMIT {
        assert!(chain.grow());
    }
    assert_eq!(calls(), 3);
    // A limit below what is committed takes effect at the next slow path.
    Strata::set_limit(LIMIT);
    for _ in 0..1000 {
        assert!(chain.grow());
    }
    assert_eq!(calls(), 4);
    drop(chain);
    Strata::purge();
}

/// Growing a block in place counts, too.
fn told_by_growing() {
    Strata::on_limit(above);
    for start in [100 << 10, 3 * MIB] {
        let before = calls();
        // SAFETY: the block is ours, and never smaller than 100 KiB.
        unsafe {
            let mut size = start;
            let mut block = GLOBAL.alloc(layout(size, 8));
            while calls() == before {
                assert!(!block.is_null() && size < 2 * LIMIT);
                block = GLOBAL.realloc(block, layout(size, 8), size + MIB);
                size += MIB;
            }
            GLOBAL.dealloc(block, layout(size, 8));
        }
        Strata::purge();
    }
}

/// Free memory is used again, or purged, first. If that is enough, nothing is called.
fn given_back_before_told() {
    Strata::on_limit(above);
    for (freed, made) in [(1000, 200 << 10), (200 << 10, 1000), (3 * MIB, 40_000)] {
        let mut first = Chain::new(freed);
        while first.bytes() < LIMIT / 4 * 3 {
            assert!(first.grow());
        }
        drop(first);
        let mut second = Chain::new(made);
        while second.bytes() < LIMIT / 4 * 3 {
            assert!(second.grow());
            assert!(committed() <= LIMIT);
        }
        assert_eq!(calls(), 0, "{freed}, then {made}");
        drop(second);
        Strata::purge();
    }
}

/// Many threads are above the limit: only one calls.
fn told_once_by_many() {
    Strata::on_limit(above);
    let filled = std::sync::Barrier::new(8);
    common::in_threads((0..8).map(|_| {
        || {
            let mut chain = Chain::new(2000);
            while chain.bytes() < LIMIT / 4 {
                assert!(chain.grow());
            }
            filled.wait();
        }
    }));
    assert_eq!(calls(), 1);
}

/// A panic in the callback ends the process: allocations do not unwind.
fn told_and_panics() {
    Strata::on_limit(|_| panic!("too much"));
    let mut chain = Chain::new(3000);
    // If the panic unwound, this hook would run and the loop would end.
    std::panic::set_hook(Box::new(|_| eprintln!("panicked")));
    while chain.bytes() < 2 * LIMIT && chain.grow() {}
    println!("the panic did not end the process");
}

/// Blocks of each size can be allocated up to a hard limit. Beyond it, only
/// memory that is already committed is handed out. Frees make room again.
fn refused(most: usize) {
    for size in [16, 100, 1000, 5000, 30_000, 40_000, 500_000, 3 * MIB] {
        for round in 0..3 {
            let mut chain = Chain::new(size);
            while chain.grow() {
                assert!(chain.bytes() <= most, "{size}");
            }
            let (got, top) = (chain.bytes(), committed());
            assert!(top <= most && got >= most / 4 * 3, "{size}: {got} of {most}, {round}");
            // Repeated attempts do not change that.
            let more = (0..100).filter(|_| chain.grow()).count();
            assert!(committed() <= most && more * size <= got / 64, "{size}: {more} more");
            let large = GLOBAL.try_new(16 * MIB);
            assert!(large.is_none(), "{size}");
            // The thread can allocate again what it frees.
            let few = (2 * MIB / size).max(1);
            (0..few).for_each(|_| assert!(chain.shrink()));
            (0..few).for_each(|_| assert!(chain.grow(), "{size}: freed, and not available"));
            drop(chain);
            let large = GLOBAL.try_new(most / 4 * 3).expect("everything is free");
            large.free(&GLOBAL);
        }
    }
}

impl Chosen {
    fn try_new(&self, size: usize) -> Option<Block> {
        Block::new(self, size, 8)
    }
}

/// A block that cannot grow is unchanged. It grows once there is room.
fn refused_to_grow(most: usize) {
    for start in [100, 20_000, 100 << 10, 900 << 10, 3 * MIB] {
        // SAFETY: the block has as many bytes as its last layout.
        unsafe {
            let mut size = start;
            let mut block = GLOBAL.alloc(layout(size, 8));
            common::fill(block, size, 7);
            let filler = GLOBAL.try_new(most / 2).unwrap();
            let beyond = GLOBAL.realloc(block, layout(size, 8), most / 4 * 3);
            assert!(beyond.is_null() && common::is_filled(block, start, 7), "{start}");
            filler.free(&GLOBAL);
            // Alone, it grows to nearly the limit.
            while size < most / 8 * 7 {
                let new = size + MIB;
                block = GLOBAL.realloc(block, layout(size, 8), new);
                assert!(!block.is_null(), "{start}: {size} of {most}");
                size = new;
                assert!(committed() <= most);
            }
            assert!(common::is_filled(block, start, 7), "{start}");
            assert!(GLOBAL.realloc(block, layout(size, 8), most + 1).is_null());
            GLOBAL.dealloc(block, layout(size, 8));
        }
    }
}

/// A page run that can grow in place is charged only for the new part, even if
/// free, dirty units lie in its way.
fn grows_in_place(most: usize) {
    // SAFETY: the block has as many bytes as its layout says.
    unsafe {
        let (small, large) = (layout(500 << 10, 8), layout(1000 << 10, 8));
        let block = GLOBAL.alloc(small);
        let filler = GLOBAL.try_new(most - committed() - 600 * 1024).unwrap();
        assert!(committed() > most - 900 * 1024);
        let grown = GLOBAL.realloc(block, small, large.size());
        assert_eq!(grown, block);
        filler.free(&GLOBAL);
        GLOBAL.dealloc(grown, large);
    }
}

/// Threads run at a hard limit. No thread ever sees more committed.
fn never_more(most: usize) {
    let done = AtomicBool::new(false);
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut top = 0;
            while !done.load(Relaxed) {
                let stats = Strata::stats();
                top = top.max(stats.committed_bytes());
                assert!(stats.committed_bytes() <= most, "{stats:?}");
                assert!(stats.free_bytes() <= stats.committed_bytes());
            }
            top
        });
        let work = |seed| {
            let refused = &refused;
            move || {
                let mut random = common::Random(seed);
                for _ in 0..12 {
                    let mut chains: Vec<_> =
                        [48, 700, 9000, 70_000, 400_000, 2 * MIB + 1].map(Chain::new).into();
                    let mut failures = 0;
                    while failures < 400 {
                        let i = random.below(chains.len());
                        let steps = 1 + (1 << 20) / chains[i].layout.size() / 4;
                        if random.below(3) == 0 {
                            (0..steps).for_each(|_| {
                                chains[i].shrink();
                            });
                        } else if !(0..steps).all(|_| chains[i].grow()) {
                            failures += 1;
                        }
                    }
                    refused.fetch_add(failures, Relaxed);
                }
            }
        };
        common::in_threads((1..5).map(work));
        done.store(true, Relaxed);
        let top = watcher.join().unwrap();
        eprintln!("{:.1} MiB at most, {} refused", mib(top), refused.load(Relaxed));
        assert!(top > most / 8 * 7);
    });
    Strata::purge();
    let large = GLOBAL.try_new(most / 4 * 3).expect("everything is free");
    large.free(&GLOBAL);
}

/// The hard limit is set, lowered, raised and removed while the program runs.
fn at_run_time() {
    Strata::set_hard_limit(LIMIT);
    refused(LIMIT);
    let half = GLOBAL.try_new(LIMIT / 2).unwrap();
    // What is free may be used again above a limit.
    Strata::purge();
    Strata::set_hard_limit(LIMIT / 4);
    assert!(GLOBAL.try_new(LIMIT / 8).is_none());
    half.free(&GLOBAL);
    refused(LIMIT / 4);
    Strata::set_hard_limit(2 * LIMIT);
    GLOBAL.try_new(LIMIT / 2 * 3).unwrap().free(&GLOBAL);
    Strata::set_hard_limit(0);
    GLOBAL.try_new(16 * LIMIT).unwrap().free(&GLOBAL);
}

/// The child of a fork keeps the limits and the callback.
fn in_a_child() {
    Strata::on_limit(above);
    let mut chain = Chain::new(5000);
    while chain.bytes() < LIMIT / 2 {
        assert!(chain.grow());
    }
    // SAFETY: the child does nothing but allocate, and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            while calls() == 0 && chain.bytes() < 2 * LIMIT && chain.grow() {}
            libc::_exit(i32::from(calls() != 1));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0);
    }
    assert_eq!(calls(), 0);
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.split(' ').collect::<Vec<_>>()[..] {
        ["guarded-stay"] => guarded_blocks_stay(),
        ["guard", beyond] => run_over_the_end(beyond.parse().unwrap()),
        ["helped"] => assert!(is_helped(), "no helper was started"),
        ["not-helped"] => assert!(!is_helped(), "a helper was started"),
        ["nothing"] => {}
        ["told", size] => told(size.parse().unwrap()),
        ["told-by-growing"] => told_by_growing(),
        ["told-by-many"] => told_once_by_many(),
        ["told-and-panics"] => told_and_panics(),
        ["given-back"] => given_back_before_told(),
        ["in-a-child"] => in_a_child(),
        ["refused"] => refused(LIMIT),
        ["refused-to-grow"] => refused_to_grow(LIMIT),
        ["grows-in-place"] => grows_in_place(LIMIT),
        ["never-more"] => never_more(LIMIT),
        ["no-limit"] => GLOBAL.try_new(2 * LIMIT).unwrap().free(&GLOBAL),
        ["at-run-time"] => at_run_time(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn a_guarded_block_grows_where_it_is() {
    succeeds("guarded-stay", "guards", "");
}

#[test]
fn a_guarded_block_faults_behind_its_end() {
    for (built, environment) in [("guards", ""), ("none", "huge_guards:true")] {
        for beyond in [0, 8, 4096, 1 << 20] {
            let ended = run(&format!("guard {beyond}"), built, environment);
            assert!(ended.out.contains("within"), "{}", ended.err);
            assert_eq!(ended.signal, Some(libc::SIGSEGV), "{beyond}: {}", ended.out);
        }
    }
    for (built, environment) in [("empty", ""), ("guards", "huge_guards:false")] {
        succeeds("guard 0", built, environment);
    }
}

#[test]
fn helper() {
    for (built, environment) in [("none", ""), ("empty", ""), ("helper", "helper:true")] {
        succeeds("helped", built, environment);
    }
    for (built, environment) in [("helper", ""), ("none", "helper:false"), ("both", "limit:1g")] {
        succeeds("not-helped", built, environment);
    }
}

#[test]
fn help() {
    let shows = |said: &str, key: &str, now: &str| {
        let named = |line: &&str| line.split_whitespace().nth(1) == Some(key);
        let line = said.lines().find(named).unwrap_or_else(|| panic!("no {key} in {said}"));
        assert!(line.contains(&format!("now {now}:")), "{line}");
    };
    let said = succeeds("nothing", "help", "");
    shows(&said, "limit", "96m");
    shows(&said, "hard_limit", "none");
    shows(&said, "huge_guards", "true");
    shows(&said, "helper", "true");
    let said = succeeds("nothing", "help", "limit:none,hard_limit:1500m,helper:false");
    shows(&said, "limit", "none");
    shows(&said, "hard_limit", "1500m");
    shows(&said, "huge_guards", "true");
    shows(&said, "helper", "false");
    let said = succeeds("nothing", "none", "help:true,limit:3g,hard_limit:5000000000");
    shows(&said, "limit", "3g");
    shows(&said, "hard_limit", "5000000000");
    for quiet in [("none", ""), ("limit", ""), ("help", "help:false")] {
        let said = succeeds("nothing", quiet.0, quiet.1);
        assert!(!said.contains("strata"), "{said}");
    }
}

#[test]
fn what_is_asked_for_is_printed() {
    for (built, environment) in [("stats", ""), ("none", "stats:exit,verbose:true")] {
        let said = succeeds("nothing", built, environment);
        let first =
            format!("strata: version {}; stats:exit,verbose:true", env!("CARGO_PKG_VERSION"));
        assert!(said.lines().any(|line| line == first), "{said}");
        let live = said.lines().filter(|line| line.starts_with("strata: live ")).count();
        assert_eq!(live, 1, "{said}");
    }
    assert!(!succeeds("nothing", "stats", "stats:never,verbose:false").contains("strata: "));
}

#[test]
fn told_above_the_limit() {
    for size in [100, 5000, 40_000, 500_000, 3 * MIB] {
        succeeds(&format!("told {size}"), "limit", "");
    }
    succeeds("told 1000", "none", "limit:64m");
    succeeds("told 1000", "limit", "limit:64M,hard_limit:1g");
    succeeds("told-by-growing", "limit", "");
    succeeds("told-by-many", "limit", "");
    succeeds("in-a-child", "limit", "");
}

#[test]
fn what_is_free_goes_back_before_the_program_is_told() {
    succeeds("given-back", "limit", "");
    succeeds("given-back", "none", "limit:65536k,helper:false");
}

#[test]
fn what_is_called_must_not_panic() {
    let ended = run("told-and-panics", "limit", "");
    assert_eq!(ended.signal, Some(libc::SIGABRT), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("panicked") && !ended.out.contains("did not end"), "{}", ended.err);
}

#[test]
fn refused_above_the_hard_limit() {
    succeeds("refused", "hard", "");
    succeeds("refused", "none", "hard_limit:64m");
    succeeds("refused", "both", "limit:32m");
    succeeds("refused-to-grow", "hard", "");
    succeeds("grows-in-place", "hard", "");
    succeeds("at-run-time", "none", "");
    succeeds("no-limit", "hard", "hard_limit:none");
    succeeds("no-limit", "hard", "hard_limit:0");
}

#[test]
fn threads_together_do_not_overrun_the_hard_limit() {
    succeeds("never-more", "hard", "");
    succeeds("never-more", "both", "huge_guards:true");
}

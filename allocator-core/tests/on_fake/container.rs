//! In containers whose files the fake has: when memory is short, who looks, and how many
//! shards there are.

use super::common::{Block, Random, layout};
use super::pages::{arena, cgroup, usage};
use super::process::config::Config;
use super::process::options;
use super::strata::Strata;
use super::sys::{self, Call};
use super::thread::registry;
use super::workload::{ALLOC, all_is_well, warm_up};
use std::alloc::GlobalAlloc;
use std::ffi::CStr;
use std::ops::Range;
use std::sync::mpsc;
use std::thread::JoinHandle;

const MOUNTS: &CStr = c"/proc/self/mountinfo";

/// A container two levels deep, with the limit on the outer level.
pub(super) fn in_a_container() {
    let absent = [
        c"/sys/fs/cgroup/pod/app/memory.high",
        c"/sys/fs/cgroup/pod/app/memory.pressure",
        c"/sys/fs/cgroup/pod/memory.high",
        c"/proc/pressure/memory",
    ];
    absent.into_iter().for_each(|path| sys::set_file(path, None));
    sys::set_file(c"/proc/self/cgroup", Some(b"4:freezer:/other\n0::/pod/app\n"));
    sys::set_file(MOUNTS, Some(b"22 20 0:6 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/memory.max", Some(b"max\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/app/cpu.max", Some(b"max 100000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/cpu.max", Some(b"150000 100000\n"));
    sys::set_file(c"/sys/fs/cgroup/pod/memory.max", Some(b"1000000000\n"));
    sys::set_file(
        c"/sys/fs/cgroup/pod/memory.stat",
        Some(b"anon 1\ninactive_file 40000000\nactive_file 10000000\n"),
    );
}

pub(super) fn container_uses(bytes: &'static [u8]) {
    sys::set_file(c"/sys/fs/cgroup/pod/memory.current", Some(bytes));
}

const BOUNDED: Strata =
    Strata::with_config(Config::new().limit_of_container(50).hard_limit_of_container(80));

/// Limits in the program's source that are parts of the container's.
pub(super) fn limits_are_parts(of: &str) {
    let parts = match of {
        "container" => {
            in_a_container();
            [500_000_000, 800_000_000]
        }
        _ => {
            sys::set_file(c"/proc/self/cgroup", None);
            [0, 0]
        }
    };
    Block::new(&BOUNDED, 100, 8).unwrap().free(&BOUNDED);
    let stats = Strata::stats();
    assert_eq!([stats.limit_bytes(), stats.hard_limit_bytes()], parts);
}

/// Memory is short from nine tenths of the tightest limit on, not counting pages of
/// files, until its use is well below; or while tasks stall for memory.
pub(super) fn memory_gets_short() {
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
        assert_eq!(cgroup::is_short(), short);
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

/// While memory is short, little is lent, and free memory that is in use now and then stays.
/// While it is scarce, no budget is lent, all free memory is purged, and threads put their
/// magazines away. Afterwards all is as before.
pub(super) fn short_memory_goes_back() {
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
    container_uses(b"1030000000\n");
    // The container is checked when the program grows.
    let large = blocks(100_000);
    wait("free memory is purged", || usage::dirty() == 0);
    assert!(!usage::lend(64 << 10, 0));
    wait("magazines are put away", || {
        free(blocks(1));
        Strata::stats().cached_bytes() < 16 << 10
    });
    container_uses(b"960000000\n");
    wait("memory is no longer scarce", || !cgroup::is_scarce());
    assert!(cgroup::is_short() && usage::lend(64 << 10, 0) && !usage::lend(4 * MIB, 0));
    usage::repay(64 << 10);
    free(blocks(1 << 10));
    let looks = sys::calls(Call::ReadFile);
    wait("looks", || sys::calls(Call::ReadFile) > looks + 100);
    assert!(usage::dirty() > MIB / 2, "a sixty-fourth of what is live stays");
    container_uses(b"700000000\n");
    wait("memory is no longer short", || !cgroup::is_short());
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
pub(super) fn nearest_of(cpus: Range<usize>) -> Vec<usize> {
    let nearest = |cpu| {
        sys::set_current_cpu(Some(cpu));
        arena::nearest()
    };
    cpus.map(nearest).collect()
}

/// Threads use as many shards as the container may use processors.
pub(super) fn shards_fit_the_container() {
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
pub(super) fn shards_follow_the_cpus() {
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
pub(super) fn files_of_a_look() -> (u64, bool) {
    let before = sys::calls(Call::ReadFile);
    let short = cgroup::update();
    (sys::calls(Call::ReadFile) - before, short)
}

/// Files that do not exist are not looked for again.
pub(super) fn without_a_container() {
    for path in [c"/proc/self/cgroup", c"/proc/pressure/memory"] {
        sys::set_file(path, None);
    }
    assert!(!cgroup::update());
    assert_eq!(cgroup::cpus(), None);
    in_a_container();
    container_uses(b"999000000\n");
    assert_eq!(files_of_a_look(), (0, false));
}

/// Without a control group, the pressure of the whole system is checked, and no other file
/// is opened again.
pub(super) fn without_a_group() {
    sys::set_file(c"/proc/self/cgroup", Some(b"4:memory:/pod\n0::/pod\n"));
    sys::set_file(MOUNTS, Some(b"22 20 0:6 / /cg/cpu rw - cgroup cgroup rw,cpu\n"));
    let waits = |text| sys::set_file(c"/proc/pressure/memory", Some(text));
    waits(b"some avg10=0.00 avg60=0\n");
    // The group, the usual place, the mounts, and the pressure.
    assert_eq!(files_of_a_look(), (4, false));
    assert_eq!(files_of_a_look(), (1, false));
    waits(b"some avg10=12.00 avg60=0\n");
    assert_eq!(files_of_a_look(), (1, true));
    waits(b"some avg10=1.00 avg60=0\n");
    assert_eq!(files_of_a_look(), (1, false));
}

/// A line that no buffer has room for: a file system made of many directories.
static MANY: [u8; 8 << 10] = {
    let mut line = [b':'; 8 << 10];
    line[line.len() - 1] = b'\n';
    line
};

/// These mounts, after a line that is longer than any buffer.
fn mounts(lines: &str) {
    let text = [&b"21 20 0:5 / / rw - overlay overlay rw,lowerdir="[..], &MANY, lines.as_bytes()];
    sys::set_file(MOUNTS, Some(text.concat().leak()));
}

/// A container of version 1: each controller has a mount, and each mount begins at a group
/// of the container's. Pressure is told by a group of version 2 that has no controller.
fn in_version_1() {
    let group = b"12:cpu,cpuacct:/pod/app\n4:memory:/pod/app\n0::/scope\n";
    sys::set_file(c"/proc/self/cgroup", Some(group));
    mounts(
        "30 29 0:7 /pod/app /c\\040g/cpu rw shared:7 - cgroup cgroup rw,cpuacct,cpu\n\
         31 29 0:8 /pod /c\\040g/memory rw - cgroup cgroup rw,memory\n\
         32 29 0:9 / /c\\040g/unified rw - cgroup2 cgroup2 rw\n",
    );
    let none = Some(&b"9223372036854771712\n"[..]);
    sys::set_file(c"/c g/memory/app/memory.limit_in_bytes", none);
    sys::set_file(c"/c g/memory/memory.limit_in_bytes", Some(b"1000000000\n"));
    sys::set_file(c"/c g/memory/memory.soft_limit_in_bytes", Some(b"1000\n"));
    sys::set_file(
        c"/c g/memory/memory.stat",
        Some(b"inactive_file 1\nactive_file 1\ntotal_inactive_file 40000000\ntotal_active_file 10000000\n"),
    );
    sys::set_file(c"/c g/unified/scope/memory.pressure", Some(b"some avg10=0.00 avg60=0\n"));
    sys::set_file(c"/c g/cpu/cpu.cfs_quota_us", Some(b"150000\n"));
    sys::set_file(c"/c g/cpu/cpu.cfs_period_us", Some(b"100000\n"));
}

/// What holds in version 2 holds in version 1.
pub(super) fn version_1_is_followed() {
    in_version_1();
    let uses = |bytes| sys::set_file(c"/c g/memory/memory.usage_in_bytes", Some(bytes));
    for (bytes, short) in
        [(&b"949000000\n"[..], false), (b"951000000\n", true), (b"910000000\n", true)]
    {
        uses(bytes);
        // The group, the usual place, the mounts, a limit at each level, what is used, and the pressure.
        assert_eq!(files_of_a_look(), (8, short), "{}", String::from_utf8_lossy(bytes));
    }
    uses(b"100000000\n");
    for (text, short) in
        [(&b"some avg10=10.00 avg60=0\n"[..], true), (b"some avg10=1.00 avg60=0\n", false)]
    {
        sys::set_file(c"/c g/unified/scope/memory.pressure", Some(text));
        assert_eq!(cgroup::update(), short, "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(cgroup::cpus(), Some(2));
    sys::set_file(c"/c g/cpu/cpu.cfs_quota_us", Some(b"-1\n"));
    assert_eq!(cgroup::cpus(), None);
    // A limit of the inner level, without which the pages of files would be unknown.
    sys::set_file(c"/c g/memory/app/memory.limit_in_bytes", Some(b"50000000\n"));
    sys::set_file(c"/c g/memory/app/memory.usage_in_bytes", Some(b"46000000\n"));
    sys::set_file(c"/c g/memory/app/memory.stat", None);
    assert!(cgroup::update());
    // Without a helper, the limit at the start is compared with the allocator's own memory, and
    // what was last read counts, too.
    cgroup::read_limit();
    assert!(cgroup::estimate(1_000_000), "others use the rest");
    sys::set_file(c"/c g/memory/app/memory.usage_in_bytes", Some(b"1000\n"));
    assert!(!cgroup::update());
    assert!(!cgroup::estimate(40_000_000) && cgroup::estimate(46_000_000));
    assert!(!cgroup::is_scarce() && cgroup::estimate(49_000_000) && cgroup::is_scarce());
    // Growth is looked at where memory begins to be short, and then in small steps.
    assert_eq!(cgroup::step_from(1_000_000, 32_000_000), 32_000_000);
    assert_eq!(cgroup::step_from(20_000_000, 32_000_000), 25_000_000);
    assert_eq!(cgroup::step_from(46_000_000, 32_000_000), 50_000_000 / 64);
    // Groups that are where they usually are are found without the mounts.
    sys::set_file(c"/c g/memory/app/memory.usage_in_bytes", Some(b"1000\n"));
    assert!(!cgroup::update());
    sys::set_file(c"/sys/fs/cgroup/memory/pod/app/memory.limit_in_bytes", Some(b"50000000\n"));
    sys::set_file(c"/sys/fs/cgroup/memory/pod/app/memory.usage_in_bytes", Some(b"46000000\n"));
    assert!(!cgroup::update());
    sys::set_file(c"/sys/fs/cgroup/memory/pod/app/notify_on_release", Some(b"0\n"));
    assert!(cgroup::update());
}

/// Where the mounts are not told, groups are looked for where they usually are; by version 1
/// if the process has a group of it.
pub(super) fn mounts_are_unknown(version: &str) {
    let (full, empty) = (&b"990\n"[..], &b"9\n"[..]);
    let (name, used, cpus) = match version {
        "1" => (&b"4:memory,x:/a\n3:cpu:/\n0::/b\n"[..], [full, empty], 3),
        _ => (&b"4:freezer:/a\n0::/b\n"[..], [empty, full], 4),
    };
    sys::set_file(c"/proc/self/cgroup", Some(name));
    sys::set_file(MOUNTS, None);
    sys::set_file(c"/proc/pressure/memory", None);
    sys::set_file(c"/sys/fs/cgroup/memory/a/memory.limit_in_bytes", Some(b"1000\n"));
    sys::set_file(c"/sys/fs/cgroup/memory/a/memory.stat", None);
    sys::set_file(c"/sys/fs/cgroup/memory/memory.limit_in_bytes", None);
    sys::set_file(c"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", Some(b"300000\n"));
    sys::set_file(c"/sys/fs/cgroup/cpu/cpu.cfs_period_us", Some(b"100000\n"));
    sys::set_file(c"/sys/fs/cgroup/b/cpu.max", Some(b"400000 100000\n"));
    sys::set_file(c"/sys/fs/cgroup/b/memory.max", Some(b"1000\n"));
    sys::set_file(c"/sys/fs/cgroup/b/memory.stat", None);
    let uses = |[one, two]: [_; 2]| {
        sys::set_file(c"/sys/fs/cgroup/memory/a/memory.usage_in_bytes", Some(one));
        sys::set_file(c"/sys/fs/cgroup/b/memory.current", Some(two));
    };
    uses(used);
    assert!(cgroup::update());
    uses([empty, empty]);
    assert!(!cgroup::update());
    assert_eq!(cgroup::cpus(), Some(cpus));
}

/// A limit may be set later: a group without a limit is still checked.
pub(super) fn limits_come_later() {
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
pub(super) fn descriptors_run_out() {
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
pub(super) fn wait(what: &str, is: impl Fn() -> bool) {
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
pub(super) fn short_without_a_helper(refused: bool) {
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
    assert!(cgroup::is_short(), "no check when the program grew");
    free(live);
    free((0..10_000).map(|_| Block::new(&ALLOC, 1000, 8).unwrap()).collect());
    assert!(!cgroup::is_short(), "memory is no longer short");
    assert!(usage::dirty() < 33 << 20, "{} bytes are held", usage::dirty());
    assert_eq!(sys::calls(Call::ReadFile), files);
    assert!(usage::lend(64 << 10, 0));
    usage::repay(64 << 10);
}

/// However a program grows, the container is checked, and the helper is started if it
/// is allowed.
pub(super) fn growth_is_seen(how: &str) {
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
    assert!(!cgroup::is_short());
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
    wait("no check", cgroup::is_short);
    // The heap that was large once may still have its helper.
    assert!(how == "again" || sys::calls(Call::StartTask) > started, "{how}: the helper");
    container_uses(b"100000000\n");
    wait("memory is no longer short", || {
        large(2 << 20).free(&ALLOC);
        !cgroup::is_short()
    });
    held.into_iter().for_each(|block| block.free(&ALLOC));
}

/// A small program opens these files at its start only.
pub(super) fn small_programs_never_look() {
    in_a_container();
    sys::set_file(c"/sys/fs/cgroup/pod/app/cgroup.controllers", Some(b"memory\n"));
    container_uses(b"990000000\n");
    Block::new(&ALLOC, 1, 1).unwrap().free(&ALLOC);
    let at_start = sys::calls(Call::ReadFile);
    assert_eq!(at_start, 8, "the group, where it usually is, and two limits at each level");
    for seed in 1..50u64 {
        let mut random = Random(seed);
        let blocks: Vec<Block> =
            (0..2000).map(|_| Block::new(&ALLOC, random.size(12), 8).unwrap()).collect();
        blocks.into_iter().for_each(|block| block.free(&ALLOC));
    }
    assert_eq!((sys::calls(Call::ReadFile), cgroup::is_short()), (at_start, false));
}

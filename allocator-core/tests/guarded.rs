//! What a program does to guarded blocks that it may not ends it, with the stacks of the block. All
//! else goes on as without guarded sampling.

mod common;

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use allocator_core::{Registers, StackWords, Strata};
use common::{at_end, case, in_threads, layout, run, succeeds};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const PAGE: usize = 4096;

/// From one slot to the next.
const SLOT: usize = 64 << 10;

/// A layout whose size class has no more bytes than it.
const EXACT: Layout = Layout::new::<[u64; 8]>();

/// A layout whose class has.
const ROUNDED: Layout = Layout::new::<[u32; 25]>();

/// Whether a byte can be read: asked of the system.
fn is_readable(at: usize) -> bool {
    let mut byte = 0_u8;
    let into = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let from = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: 1 };
    // SAFETY: the kernel writes one byte, or none.
    unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const into, 1, &raw const from, 1, 0) == 1
    }
}

/// Whether a block lies at the end of pages that have none behind them.
fn is_guarded(ptr: *mut u8, layout: Layout) -> bool {
    let end = (ptr.addr() + layout.size()).next_multiple_of(PAGE);
    let padded = layout.pad_to_align().size();
    let end_of_class = end - ptr.addr() < padded + padded / 2 + 16;
    end_of_class && is_readable(end - 1) && !is_readable(end)
}

fn block(layout: Layout) -> *mut u8 {
    // SAFETY: the size is not 0.
    black_box(unsafe { alloc(layout) })
}

fn free(ptr: *mut u8, layout: Layout) {
    // SAFETY: the block is the caller's, or this is the misuse.
    unsafe { dealloc(black_box(ptr), layout) };
}

/// Switches the sampling on, for nearly every block, in this thread, too.
fn start() {
    Strata::guarded_start(1);
    assert_eq!(Strata::guarded_rate(), Some(1));
    free(block(EXACT), EXACT);
}

/// A guarded block.
fn guarded(layout: Layout) -> *mut u8 {
    (0..1000).map(|_| block(layout)).find(|ptr| is_guarded(*ptr, layout)).expect("a guarded block")
}

/// What stands for a stack: the next one is at this address.
static PLACE: AtomicUsize = AtomicUsize::new(0);

const ALLOCATED_AT: usize = 0xa110_ca7e;
const FREED_AT: usize = 0xf4ee;

fn unwinder(_: Registers, _: &mut StackWords, frames: &mut [usize]) -> usize {
    frames[..2].copy_from_slice(&[PLACE.load(Ordering::Relaxed), unwinder as *const () as usize]);
    2
}

/// A guarded block, with a known stack.
fn with_stack(layout: Layout) -> *mut u8 {
    assert!(Strata::profile_unwinder(Some(unwinder)));
    start();
    PLACE.store(ALLOCATED_AT, Ordering::Relaxed);
    let ptr = guarded(layout);
    PLACE.store(FREED_AT, Ordering::Relaxed);
    println!("block {ptr:p}");
    // SAFETY: the block is ours.
    unsafe { ptr.write_bytes(7, layout.size()) };
    ptr
}

fn freed(layout: Layout) -> *mut u8 {
    let ptr = with_stack(layout);
    free(ptr, layout);
    ptr
}

fn write(ptr: *mut u8) {
    // SAFETY: none: this is the misuse.
    unsafe { black_box(ptr).write_volatile(1) };
}

fn read(ptr: *mut u8) {
    // SAFETY: as above.
    black_box(unsafe { black_box(ptr).read_volatile() });
}

/// Each misuse, and how its report begins.
const MISUSES: [(&str, &str); 14] = [
    ("read-after-free", "use after free: access to {block}, the start of a block of 64 bytes"),
    ("write-after-free", "use after free: access to {block}, the start of a block of 64 bytes"),
    ("after-free-beyond", "use after free: access to {block+100}, 100 bytes from the start of a "),
    ("overflow-by-1", "overflow: access to {block+64}, 64 bytes from the start of a block of 64 "),
    ("overflow-by-many", "overflow: access to {block+64}, 64 bytes from the start of a block of "),
    ("overflow-to-a-neighbour", "overflow: access to {block+64}, 64 bytes from the start of a bl"),
    ("overflow-in-a-used-slot", "overflow: access to {block+64}, 64 bytes from the start of a bl"),
    ("underflow", "underflow: access to {block-5000}, 5000 bytes before a block of 64 bytes"),
    ("written-before", "free(): corrupted block, written beyond its end or before its start: "),
    ("twice", "free(): double free detected, the block is free already: pointer {block}"),
    ("in-another-thread", "free(): double free detected, the block is free already: pointer {bl"),
    ("middle", "free(): invalid pointer, into the middle of a block: pointer {block+16}"),
    ("layout", "free(): invalid size, not that of the layout that the block was made with: "),
    ("after-stop", "use after free: access to {block}, the start of a block of 64 bytes"),
];

/// A pointer that goes to another thread.
struct Shared(*mut u8);
// SAFETY: the tests use it in one thread at a time.
unsafe impl Send for Shared {}

fn misuse(kind: &str) {
    match kind {
        "read-after-free" => read(freed(EXACT)),
        "write-after-free" => write(freed(EXACT)),
        "after-free-beyond" => read(freed(EXACT).wrapping_add(100)),
        "overflow-by-1" => write(with_stack(EXACT).wrapping_add(64)),
        "overflow-by-many" => {
            let ptr = with_stack(EXACT);
            (0..100_000).for_each(|at| write(ptr.wrapping_add(at)));
        }
        "overflow-to-a-neighbour" => {
            free(with_stack(EXACT), EXACT);
            PLACE.store(ALLOCATED_AT, Ordering::Relaxed);
            let blocks = [(); 50].map(|()| block(EXACT));
            PLACE.store(FREED_AT, Ordering::Relaxed);
            let is_pair = |pair: &&[*mut u8]| pair[1].addr() == pair[0].addr() + SLOT;
            let pair = blocks.windows(2).find(is_pair).expect("blocks side by side");
            println!("block {:p}", pair[0]);
            write(pair[0].wrapping_add(64));
        }
        "overflow-in-a-used-slot" => {
            start();
            (0..10_000).for_each(|_| free(block(EXACT), EXACT));
            write(with_stack(EXACT).wrapping_add(64));
        }
        "underflow" => read(with_stack(EXACT).wrapping_sub(5000)),
        "written-before" => {
            let ptr = with_stack(EXACT);
            write(ptr.wrapping_sub(1));
            free(ptr, EXACT);
        }
        "twice" => free(freed(EXACT), EXACT),
        "in-another-thread" => {
            let ptr = Shared(freed(EXACT));
            thread::spawn(move || free({ ptr }.0, EXACT)).join().unwrap();
        }
        "middle" => free(with_stack(EXACT).wrapping_add(16), EXACT),
        "layout" => free(with_stack(EXACT), layout(128, 8)),
        "after-stop" => {
            let ptr = with_stack(EXACT);
            Strata::guarded_stop();
            free(ptr, EXACT);
            read(ptr);
        }
        _ => panic!("{kind}"),
    }
}

#[test]
fn each_misuse_is_reported_with_both_stacks() {
    for (kind, begin) in MISUSES {
        let ended = run(kind);
        let said = || format!("{kind}: {:?}\n{}\n{}", ended.signal, ended.out, ended.err);
        assert_eq!(ended.signal, Some(libc::SIGABRT), "{}", said());
        let mut blocks = ended.out.lines().filter_map(|line| line.split_once("block 0x"));
        let block = blocks.next_back().unwrap().1;
        let block = usize::from_str_radix(block, 16).unwrap();
        let mut want = format!("strata: {begin}");
        for (name, at) in [
            ("{block}", block),
            ("{block+16}", block + 16),
            ("{block+64}", block + 64),
            ("{block+100}", block + 100),
            ("{block-5000}", block - 5000),
            ("{bl", block),
        ] {
            want = want.replace(name, &format!("0x{at:x}"));
        }
        assert!(ended.err.lines().any(|line| line.starts_with(&want)), "{want}\n{}", said());
        // Each stack, and nothing of it twice.
        let is_freed = kind.contains("free")
            || matches!(kind, "twice" | "in-another-thread")
            || kind == "after-stop";
        let at = |place: usize| format!("strata:   0x{place:x} ");
        let count = |text: &str| ended.err.lines().filter(|line| line.starts_with(text)).count();
        assert_eq!(count("strata: allocated by thread "), 1, "{}", said());
        assert_eq!(count(&at(ALLOCATED_AT)), 1, "{}", said());
        assert_eq!(count("strata: freed by thread "), usize::from(is_freed), "{}", said());
        assert_eq!(count(&at(FREED_AT)), usize::from(is_freed), "{}", said());
        // The object of a frame is named.
        let program = std::env::current_exe().unwrap();
        let program = format!(" {}+0x", program.file_name().unwrap().to_str().unwrap());
        assert!(ended.err.contains(&program), "{}", said());
    }
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// There are at most a thousand, and they take a sixteenth of the mappings that were left.
fn bounds() {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let before = mappings();
    let share = (limit.trim().parse::<usize>().unwrap() - before) / 16;
    start();
    let mut blocks = Vec::with_capacity(5000);
    for _ in 0..3 {
        (0..5000).for_each(|_| blocks.push(block(EXACT)));
        let count = blocks.iter().filter(|ptr| is_guarded(**ptr, EXACT)).count();
        let most = 1000.min(share / 3);
        assert!(count <= most && count > most - most / 10, "{count} guarded blocks of {most}");
        let more = mappings() - before;
        assert!(more <= share + 20, "{more} mappings more, of {share}");
        blocks.drain(..).for_each(|ptr| free(ptr, EXACT));
    }
    let more = mappings() - before;
    assert!(more <= share + 20, "{more} mappings more, of {share}");
}

/// Of the free slots the one that was freed first is used first.
fn first_freed_first() {
    start();
    let mut seen = Vec::with_capacity(10_000);
    for _ in 0..10_000 {
        let ptr = block(EXACT);
        seen.push(ptr.addr());
        free(ptr, EXACT);
    }
    let period = seen[1..].iter().position(|it| *it == seen[0]).expect("no slot is used again") + 1;
    assert!(period >= 1000, "{period}");
    assert!(seen.iter().zip(&seen[period..]).all(|(one, other)| one == other), "another order");
}

/// Blocks are as large and aligned as they should be, and keep what they hold.
fn contents() {
    start();
    for align in [1, 2, 8, 16, 64, 512, 4096] {
        for size in [1, 7, 40, 64, 100, 500, 1000, 3000, 5000, 20_000, 32_000] {
            let layout = layout(size, align);
            let blocks: Vec<_> = (0..20).map(|_| block(layout)).collect();
            let count = blocks.iter().filter(|ptr| is_guarded(**ptr, layout)).count();
            let is_small = layout.pad_to_align().size() <= 32_000;
            assert!(count >= 5 || !is_small, "{size}, {align}: {count}");
            for (at, ptr) in blocks.iter().enumerate() {
                assert!(ptr.addr().is_multiple_of(align), "{ptr:p}");
                // SAFETY: the block is ours.
                unsafe { common::fill(*ptr, size, at as u64) };
            }
            for (at, ptr) in blocks.into_iter().enumerate() {
                // SAFETY: the block is ours.
                unsafe {
                    assert!(common::is_filled(ptr, size, at as u64));
                    let grown = realloc(ptr, layout, size + 20);
                    assert!(common::is_filled(grown, size, at as u64));
                    let new = Layout::from_size_align(size + 20, align).unwrap();
                    let back = realloc(grown, new, size);
                    assert!(common::is_filled(back, size, at as u64));
                    free(back, layout);
                    let zeroed = alloc_zeroed(layout);
                    assert!(common::is_zero(zeroed, size));
                    free(zeroed, layout);
                }
            }
        }
    }
}

/// Within its class a block grows and shrinks where it is, and may be written to its end.
fn within_the_class() {
    start();
    for _ in 0..100 {
        let ptr = guarded(ROUNDED);
        // SAFETY: the block is ours, and has so many bytes in between.
        unsafe {
            let grown = realloc(ptr, ROUNDED, 112);
            assert_eq!(grown, ptr);
            grown.write_bytes(1, 112);
            free(realloc(grown, layout(112, 4), 100), ROUNDED);
        }
    }
}

/// Guarded blocks are in all numbers.
fn numbers() {
    common::others_sleep();
    start();
    let free_all = |blocks: &mut Vec<*mut u8>| blocks.drain(..).for_each(|ptr| free(ptr, EXACT));
    let mut blocks = Vec::with_capacity(600);
    (0..600).for_each(|_| blocks.push(block(EXACT)));
    free_all(&mut blocks);
    let check = |stats: &allocator_core::Stats| {
        assert_eq!(
            stats.allocated_bytes() - stats.freed_bytes(),
            stats.live_bytes() + stats.cached_bytes()
        );
        assert!(stats.committed_bytes() <= stats.mapped_bytes());
    };
    let (before, rows) = (Strata::stats(), Strata::explain());
    (0..600).for_each(|_| blocks.push(block(EXACT)));
    let (now, full) = (Strata::stats(), Strata::explain());
    let count = blocks.iter().filter(|ptr| is_guarded(**ptr, EXACT)).count();
    assert!(count > 500, "{count}");
    assert_eq!(now.large_bytes() - before.large_bytes(), count * PAGE);
    assert_eq!(now.committed_bytes() - before.committed_bytes(), count * PAGE);
    assert_eq!(now.mapped_bytes() - before.mapped_bytes(), count * PAGE);
    let more = full.live_large_bytes() - rows.live_large_bytes();
    assert!(more.abs_diff(count * PAGE) <= 64 << 10, "{more}, {count}");
    let sum = full.live_bytes() + full.causes().map(|(_, bytes)| bytes).sum::<usize>();
    assert_eq!(sum, full.resident_bytes());
    check(&before);
    check(&now);
    free_all(&mut blocks);
    let after = Strata::stats();
    check(&after);
    assert_eq!(after.large_bytes(), before.large_bytes());
    assert_eq!(after.committed_bytes(), before.committed_bytes());
    assert!(after.freed_blocks() - now.freed_blocks() >= count);
    let more = Strata::explain().live_large_bytes().saturating_sub(rows.live_large_bytes());
    assert!(more <= 64 << 10, "{more} bytes of freed blocks are resident");
}

/// What the hard limit does not allow is not guarded.
fn limit() {
    start();
    let kept = guarded(EXACT);
    Strata::set_hard_limit(Strata::stats().committed_bytes());
    let blocks: Vec<_> = (0..100).map(|_| block(EXACT)).collect();
    assert!(blocks.iter().all(|ptr| !ptr.is_null() && !is_guarded(*ptr, EXACT)));
    Strata::set_hard_limit(0);
    blocks.into_iter().chain([kept]).for_each(|ptr| free(ptr, EXACT));
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn make_accessible(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the test maps the page, and makes no other access that faults.
    unsafe {
        let page = (*info).si_addr().map_addr(|at| at & !(PAGE - 1));
        libc::mprotect(page, PAGE, libc::PROT_READ | libc::PROT_WRITE);
    }
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Sets that handler.
fn handle_faults() {
    // SAFETY: a plain call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = make_accessible as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Faults of the program still go to its handler.
fn faults_of_others() {
    // SAFETY: plain calls; the page is the test's.
    unsafe {
        handle_faults();
        start();
        let kept = guarded(EXACT);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        for count in 1..=3 {
            let page = libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_NONE, flags, -1, 0);
            page.cast::<u8>().write_volatile(5);
            assert_eq!(HANDLED.load(Ordering::Relaxed), count);
        }
        free(kept, EXACT);
    }
}

/// The program takes the access to its own block away, and its handler gives it back.
fn access_that_the_program_took() {
    const WHOLE: Layout = Layout::new::<[Aligned; 1]>();
    // SAFETY: plain calls; the page is the block's.
    unsafe {
        handle_faults();
        start();
        let kept = guarded(WHOLE);
        for count in 1..=3 {
            assert_eq!(libc::mprotect(kept.cast(), PAGE, libc::PROT_READ), 0);
            // Another access each time.
            write(kept.wrapping_add(count));
            assert_eq!(HANDLED.load(Ordering::Relaxed), count);
        }
        free(kept, WHOLE);
    }
}

#[repr(align(4096))]
struct Aligned(#[expect(dead_code, reason = "for its size")] [u8; PAGE]);

/// A fault that nobody handles ends the process as before.
fn unhandled() {
    start();
    println!("{:p}", guarded(EXACT));
    read(std::ptr::without_provenance_mut(16));
}

/// Likewise a signal that was sent.
fn sent() {
    // SAFETY: plain calls. The handler of the standard library would only return.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        start();
        println!("{:p}", guarded(EXACT));
        libc::raise(libc::SIGSEGV);
    }
}

#[test]
fn other_faults_end_the_process_as_before() {
    for case in ["unhandled", "sent"] {
        let ended = run(case);
        assert_eq!(ended.signal, Some(libc::SIGSEGV), "{case}: {}", ended.err);
        assert!(!ended.err.contains("strata:"), "{}", ended.err);
    }
}

/// Children work, and have their blocks guarded.
fn forks() {
    start();
    let kept = guarded(EXACT);
    let stop = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while stop.load(Ordering::Relaxed) == 0 {
                    free(block(EXACT), EXACT);
                }
            });
        }
        for _ in 0..200 {
            let status = common::status_of_child(|| {
                let blocks = [(); 50].map(|()| block(EXACT));
                let any = blocks.iter().any(|ptr| is_guarded(*ptr, EXACT));
                blocks.into_iter().for_each(|ptr| free(ptr, EXACT));
                free(kept, EXACT);
                i32::from(!any)
            });
            assert_eq!(status, 0, "no block is guarded in the child");
        }
        stop.store(1, Ordering::Relaxed);
    });
    free(kept, EXACT);
}

/// Threads allocate, and free what others did.
fn threads() {
    Strata::guarded_start(200);
    in_threads((0..4).map(|seed| {
        move || {
            let mut random = common::Random(seed + 1);
            for _ in 0..50 {
                let blocks: Vec<_> = (0..100)
                    .map(|_| {
                        let size = 1 + random.below(2000);
                        common::Block::new(&GLOBAL, size, 8).unwrap()
                    })
                    .collect();
                thread::scope(|scope| {
                    scope.spawn(|| blocks.into_iter().for_each(|block| block.free(&GLOBAL)));
                });
            }
        }
    }));
    Strata::guarded_stop();
}

/// Switched off, no further block is guarded.
fn off() {
    start();
    let kept = guarded(EXACT);
    Strata::guarded_stop();
    assert_eq!(Strata::guarded_rate(), None);
    free(block(EXACT), EXACT);
    let blocks: Vec<_> = (0..1000).map(|_| block(EXACT)).collect();
    assert!(!blocks.iter().any(|ptr| is_guarded(*ptr, EXACT)));
    // SAFETY: the block is ours.
    unsafe { kept.write_bytes(3, 64) };
    blocks.into_iter().chain([kept]).for_each(|ptr| free(ptr, EXACT));
}

/// The heap profile is as right as without.
fn beside_the_profile() {
    Strata::guarded_start(2 << 10);
    Strata::profile_start(4 << 10);
    let in_use = || Strata::profile().map(|stack| stack.in_use().bytes).sum::<u64>();
    let before = in_use();
    let blocks: Vec<Vec<u8>> = (0..40_000).map(|at| Vec::with_capacity(100 + at % 1500)).collect();
    let bytes = blocks.iter().map(Vec::capacity).sum::<usize>() as u64 + 40_000 * 24;
    let found = in_use() - before;
    assert!(found.abs_diff(bytes) * 20 < bytes, "{found} instead of {bytes}");
    drop(blocks);
    assert!(in_use() - before < 1 << 20);
}

const CASES: [(&str, fn()); 12] = [
    ("bounds", bounds),
    ("first-freed-first", first_freed_first),
    ("contents", contents),
    ("within-the-class", within_the_class),
    ("numbers", numbers),
    ("limit", limit),
    ("faults-of-others", faults_of_others),
    ("taken-access", access_that_the_program_took),
    ("forks", forks),
    ("threads", threads),
    ("off", off),
    ("beside-the-profile", beside_the_profile),
];

#[test]
fn all_else_goes_on() {
    CASES.iter().for_each(|(name, _)| succeeds(name));
}

#[test]
fn child() {
    let Some(case) = case() else { return };
    match CASES.iter().find(|(name, _)| *name == case) {
        Some((_, run)) => {
            run();
            at_end();
        }
        None if case == "unhandled" => unhandled(),
        None if case == "sent" => sent(),
        None => misuse(&case),
    }
}

//! A program that misuses its memory is aborted, with one line that names the
//! pointer. That happens at once if the pointer or the layout shows the misuse, else
//! when the block leaves the thread's magazine (here: at the end of the thread).

mod common;

use allocator_core::Strata;
use common::layout;
use std::alloc::{Layout, alloc, dealloc, realloc};
use std::hint::black_box;
use std::thread;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const FOREIGN: &str = "free(): invalid pointer, not from this allocator, or given back already";
const INTERIOR: &str = "free(): invalid pointer, into the middle of a block";
const TWICE: &str = "free(): double free detected, the block is free already";
const LAYOUT: &str = "free(): invalid size, not that of the layout that the block was made with";

const SMALL: Layout = Layout::new::<[u64; 8]>();
const BOX: Layout = Layout::new::<[u64; 125]>();
const MEDIUM: Layout = Layout::new::<[u8; 100 << 10]>();
const HUGE: Layout = Layout::new::<[u8; 3 << 20]>();

/// A block, with one byte written.
fn block(layout: Layout) -> *mut u8 {
    // SAFETY: the size is not 0.
    unsafe {
        let ptr = alloc(layout);
        assert!(!ptr.is_null());
        ptr.write(7);
        black_box(ptr)
    }
}

/// Frees a pointer that must not be freed, after naming it to the parent.
fn bad_free(ptr: *mut u8, layout: Layout) {
    println!("pointer {ptr:p}");
    // SAFETY: none: this is the misuse.
    unsafe { dealloc(black_box(ptr), layout) };
}

fn free(ptr: *mut u8, layout: Layout) {
    // SAFETY: the block is the caller's.
    unsafe { dealloc(black_box(ptr), layout) };
}

/// Runs `f` in a thread that ends.
fn in_thread(f: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(f).join().unwrap());
}

/// A pointer that goes to another thread.
#[derive(Clone, Copy)]
struct Shared(*mut u8);
// SAFETY: the tests use it in one thread at a time.
unsafe impl Send for Shared {}
// SAFETY: likewise.
unsafe impl Sync for Shared {}

impl Shared {
    fn get(self) -> *mut u8 {
        self.0
    }
}

static STATIC: [u64; 32] = [1; 32];

fn foreign(what: &str) -> *mut u8 {
    match what {
        "static" => STATIC.as_ptr().cast_mut().cast(),
        "code" => foreign as *mut u8,
        "c-heap" => {
            // SAFETY: plain call.
            unsafe { libc::malloc(64).cast() }
        }
        "low" => 64 as *mut u8,
        "kernel" => (usize::MAX - 4095) as *mut u8,
        "non-canonical" => 0x8000_0000_0000_0040 as *mut u8,
        // SAFETY: maps and unmaps a page.
        "unmapped" => unsafe {
            let prot = libc::PROT_READ;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let page = libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0);
            libc::munmap(page, 4096);
            page.cast()
        },
        "our-window-unused" => block(SMALL).wrapping_add(40 << 20),
        "our-window-unopened" => block(SMALL).wrapping_add(100 << 30),
        "below-our-window" => block(SMALL).wrapping_sub(1 << 41),
        _ => panic!("{what}?"),
    }
}

const FOREIGN_PLACES: [&str; 10] = [
    "static",
    "code",
    "c-heap",
    "low",
    "kernel",
    "non-canonical",
    "unmapped",
    "our-window-unused",
    "our-window-unopened",
    "below-our-window",
];

fn size_of_name(name: &str) -> Layout {
    match name {
        "small" => SMALL,
        "medium" => MEDIUM,
        "huge" => HUGE,
        "small-aligned" => layout(64, 1024),
        "small-next-class" => layout(65, 8),
        "small-class-below" => layout(56, 8),
        "medium-one-page-more" => layout((100 << 10) + 1, 8),
        "medium-one-page-less" => layout(96 << 10, 8),
        "huge-one-page-more" => layout((3 << 20) + 1, 8),
        "huge-one-page-less" => layout((3 << 20) - 4096, 8),
        _ => panic!("{name}?"),
    }
}

/// Pairs of a block's layout and a wrong layout to free it with.
const WRONG_LAYOUTS: [(&str, &str); 14] = [
    ("small", "small-next-class"),
    ("small", "small-class-below"),
    ("small", "small-aligned"),
    ("small", "medium"),
    ("small", "huge"),
    ("small-aligned", "small"),
    ("medium", "medium-one-page-more"),
    ("medium", "medium-one-page-less"),
    ("medium", "small"),
    ("medium", "huge"),
    ("huge", "huge-one-page-more"),
    ("huge", "huge-one-page-less"),
    ("huge", "small"),
    ("huge", "medium"),
];

/// Commits one kind of misuse. If this returns, the misuse was not detected.
fn misuse(case: &str) {
    let words: Vec<&str> = case.split(' ').collect();
    match words[..] {
        ["foreign", "stack", size] => {
            let word = black_box(0u64);
            bad_free((&raw const word).cast_mut().cast(), size_of_name(size));
        }
        ["foreign", place, size] => bad_free(foreign(place), size_of_name(size)),
        ["foreign-realloc"] => {
            let mut words = black_box([0u64; 8]);
            let ptr = words.as_mut_ptr().cast::<u8>();
            println!("pointer {ptr:p}");
            // SAFETY: none: this is the misuse.
            unsafe { black_box(realloc(ptr, SMALL, 1000)) };
        }
        ["interior", "own", offset] => in_thread(|| {
            let ptr = block(SMALL);
            bad_free(ptr.wrapping_add(offset.parse().unwrap()), SMALL);
        }),
        ["interior", "remote", offset] => {
            let ptr = Shared(block(SMALL));
            in_thread(|| bad_free(ptr.get().wrapping_add(offset.parse().unwrap()), SMALL));
        }
        // The rest behind the last block of a span: 32 KiB hold 585 blocks of 56 bytes.
        ["interior", "tail"] => in_thread(|| {
            let ptr = block(layout(56, 8));
            let base = ptr.map_addr(|addr| addr & !0x7fff);
            bad_free(base.wrapping_add(585 * 56), layout(56, 8));
        }),
        ["interior", "medium", offset] => {
            bad_free(block(MEDIUM).wrapping_add(offset.parse().unwrap()), MEDIUM);
        }
        ["interior", "huge", offset] => {
            bad_free(block(HUGE).wrapping_add(offset.parse().unwrap()), HUGE);
        }
        ["twice", "own"] => in_thread(|| {
            let ptr = block(SMALL);
            free(ptr, SMALL);
            bad_free(ptr, SMALL);
        }),
        ["twice", "own-later"] => {
            // The block has left the magazine before the second free. Another live
            // block keeps the span in use.
            let pair = thread::spawn(|| (Shared(block(SMALL)), Shared(block(SMALL))));
            let (ptr, _keeps) = pair.join().unwrap();
            in_thread(|| free(ptr.get(), SMALL));
            in_thread(|| bad_free(ptr.get(), SMALL));
        }
        ["twice", "remote"] => {
            let ptr = Shared(block(SMALL));
            in_thread(|| {
                free(ptr.get(), SMALL);
                bad_free(ptr.get(), SMALL);
            });
        }
        ["twice", "two-threads"] => {
            let ptr = Shared(block(SMALL));
            in_thread(|| free(ptr.get(), SMALL));
            in_thread(|| bad_free(ptr.get(), SMALL));
        }
        // Two adjacent blocks are freed as one run; the second is free already.
        ["twice", "adjacent"] => {
            let made = thread::spawn(|| {
                let mut blocks: Vec<_> = (0..100).map(|_| Shared(block(SMALL))).collect();
                blocks.sort_by_key(|block| block.0.addr());
                blocks
            });
            let blocks = made.join().unwrap();
            let pair = blocks[40..].windows(2).find(|pair| pair[0].0.wrapping_add(64) == pair[1].0);
            let (good, bad) = (pair.unwrap()[0], pair.unwrap()[1]);
            in_thread(|| free(bad.get(), SMALL));
            in_thread(|| {
                free(good.get(), SMALL);
                bad_free(bad.get(), SMALL);
            });
        }
        ["twice", "filled-magazine"] => {
            // No thread ends: the magazine overflows.
            let ptr = block(SMALL);
            free(ptr, SMALL);
            println!("pointer {ptr:p}");
            // SAFETY: none: this is the misuse.
            unsafe { dealloc(black_box(ptr), SMALL) };
            let blocks: Vec<_> = (0..10_000).map(|_| block(SMALL)).collect();
            for ptr in blocks {
                free(ptr, SMALL);
            }
        }
        // All blocks of the span are free and flushed, so the span is released.
        ["twice", "span-gone", size] => {
            let layout = layout(size.parse().unwrap(), 8);
            let ptr = thread::spawn(move || {
                let blocks: Vec<_> = (0..5000).map(|_| block(layout)).collect();
                let middle = Shared(blocks[2500]);
                for ptr in blocks {
                    free(ptr, layout);
                }
                middle
            });
            let ptr = ptr.join().unwrap();
            in_thread(|| bad_free(ptr.get(), layout));
        }
        // The span may be released between the flushes of the block's two places in the magazine.
        ["twice", "flushed-apart", between] => in_thread(|| {
            let between: usize = between.parse().unwrap();
            let blocks: Vec<_> = (0..5000).map(|_| block(BOX)).collect();
            let ptr = blocks[2500];
            let (near, far): (Vec<_>, Vec<_>) = blocks
                .into_iter()
                .filter(|other| *other != ptr)
                .partition(|other| other.addr().abs_diff(ptr.addr()) < 64 << 10);
            near.into_iter().for_each(|ptr| free(ptr, BOX));
            free(ptr, BOX);
            let (before, after) = far.split_at(between);
            before.iter().for_each(|ptr| free(*ptr, BOX));
            println!("pointer {ptr:p}");
            // SAFETY: none: this is the misuse.
            unsafe { dealloc(black_box(ptr), BOX) };
            after.iter().for_each(|ptr| free(*ptr, BOX));
        }),
        // The freed block stays in a remote cache until the span is released.
        ["twice", "span-gone-meanwhile", size] => {
            let layout = layout(size.parse().unwrap(), 8);
            let made =
                thread::spawn(move || (0..5000).map(|_| Shared(block(layout))).collect::<Vec<_>>());
            let blocks = made.join().unwrap();
            let bad = blocks[2500];
            println!("pointer {:p}", bad.get());
            in_thread(|| {
                free(bad.get(), layout);
                in_thread(|| blocks.iter().for_each(|block| free(block.get(), layout)));
            });
        }
        // In this thread, which ends the process: nothing else flushes its magazine.
        ["twice", "until-exit"] => {
            let (ptr, between) = (block(SMALL), block(SMALL));
            free(ptr, SMALL);
            free(between, SMALL);
            bad_free(ptr, SMALL);
        }
        ["interior", "until-exit"] => bad_free(block(SMALL).wrapping_add(16), SMALL),
        ["twice", "medium"] => {
            let ptr = block(MEDIUM);
            let _keeps_the_chunk = block(MEDIUM);
            free(ptr, MEDIUM);
            bad_free(ptr, MEDIUM);
        }
        ["twice", "medium-gone"] => {
            let ptr = block(MEDIUM);
            free(ptr, MEDIUM);
            Strata::purge();
            bad_free(ptr, MEDIUM);
        }
        ["twice", "huge"] => {
            let ptr = block(HUGE);
            free(ptr, HUGE);
            bad_free(ptr, HUGE);
        }
        ["twice", "huge-gone"] => {
            let (ptr, other) = (block(HUGE), block(HUGE));
            free(ptr, HUGE);
            free(other, HUGE);
            bad_free(ptr, HUGE);
        }
        ["layout", made, freed] => in_thread(|| {
            bad_free(block(size_of_name(made)), size_of_name(freed));
        }),
        ["layout-realloc"] => {
            let ptr = block(SMALL);
            println!("pointer {ptr:p}");
            // SAFETY: none: this is the misuse.
            unsafe { black_box(realloc(ptr, layout(100, 8), 1000)) };
        }
        _ => panic!("{case}?"),
    }
}

/// Allocates and frees blocks of all kinds, here and in another thread.
fn work(rounds: usize) {
    let use_blocks = move || {
        for n in 0..rounds {
            let layout = layout(1 + n * 37 % 100_000, 8);
            free(block(layout), layout);
        }
    };
    use_blocks();
    thread::spawn(use_blocks).join().unwrap();
    Strata::purge();
}

extern "C" fn allocates(_: i32) {
    work(3000);
    // SAFETY: plain call.
    unsafe { libc::_exit(0) };
}

/// As a program does that jumps out of the handler: the abort never goes on.
extern "C" fn goes_on(_: i32) {
    work(100_000);
    // SAFETY: plain call.
    unsafe { libc::_exit(0) };
}

extern "C" fn forks(_: i32) {
    // SAFETY: plain calls; the child allocates and ends.
    unsafe {
        let pid = libc::fork();
        work(1000);
        if pid == 0 {
            libc::_exit(0);
        }
        let mut status = 1;
        libc::waitpid(pid, &raw mut status, 0);
        libc::_exit(if status == 0 { 0 } else { 9 });
    }
}

/// In a child: what SIGABRT does, if the case begins with a handler's name.
fn handle_abort(case: &str) -> &str {
    let Some((handler, case)) = case.split_once(": ") else { return case };
    let handler = match handler {
        "allocates" => allocates as extern "C" fn(i32),
        "goes on" => goes_on,
        "forks" => forks,
        _ => panic!("{handler}?"),
    };
    // SAFETY: the handler is one.
    unsafe { libc::signal(libc::SIGABRT, handler as *const () as libc::sighandler_t) };
    case
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    misuse(handle_abort(&case));
    println!("the misuse was not detected");
    std::process::exit(8);
}

/// The child of this case aborts with one of these texts and the pointer.
fn dies(case: &str, texts: &[&str]) {
    let ended = common::run(case);
    let pointer = ended.out.lines().find_map(|line| line.split_once("pointer ")).map(|(_, p)| p);
    let told = format!("{case}: {:?}\n{}{}", ended.signal, ended.out, ended.err);
    assert_eq!(ended.signal, Some(libc::SIGABRT), "{told}");
    assert_eq!(ended.err.lines().count(), 1, "{told}");
    assert!(ended.err.ends_with('\n'), "{told}");
    let named = texts.iter().any(|text| {
        let start = format!("strata: {text}: pointer {}", pointer.unwrap());
        ended.err.strip_prefix(&start).is_some_and(|rest| rest.starts_with([',', '\n']))
    });
    assert!(named, "{told}");
}

#[test]
fn pointers_from_elsewhere() {
    for size in ["small", "medium", "huge"] {
        for place in FOREIGN_PLACES.iter().chain(&["stack"]) {
            dies(&format!("foreign {place} {size}"), &[FOREIGN]);
        }
    }
    dies("foreign-realloc", &[FOREIGN]);
}

#[test]
fn pointers_into_blocks() {
    for whose in ["own", "remote"] {
        for offset in [1, 8, 16, 63] {
            dies(&format!("interior {whose} {offset}"), &[INTERIOR]);
        }
    }
    dies("interior tail", &[INTERIOR]);
    dies("interior until-exit", &[INTERIOR]);
    for offset in [1, 8, 4096, 8 << 10, 99 << 10] {
        dies(&format!("interior medium {offset}"), &[INTERIOR]);
    }
    for offset in [1, 16, 4096] {
        dies(&format!("interior huge {offset}"), &[INTERIOR]);
    }
    // Only the entry of its first granule names a huge block.
    for offset in [32 << 10, 2 << 20] {
        dies(&format!("interior huge {offset}"), &[INTERIOR, FOREIGN]);
    }
}

#[test]
fn second_frees() {
    let kept_spans = ["own", "own-later", "remote", "two-threads", "adjacent", "filled-magazine"];
    for how in kept_spans.iter().chain(&["medium", "until-exit"]) {
        dies(&format!("twice {how}"), &[TWICE]);
    }
    for how in ["medium-gone", "huge-gone"] {
        dies(&format!("twice {how}"), &[FOREIGN]);
    }
    // The helper may have freed its chunks.
    dies("twice huge", &[TWICE, FOREIGN]);
    for between in 1..24 {
        dies(&format!("twice flushed-apart {between}"), &[TWICE, FOREIGN]);
    }
    for size in [16, 64, 100, 320, 1024, 3000] {
        // The granules may be in use again by then, so the diagnosis differs.
        dies(&format!("twice span-gone {size}"), &[TWICE, FOREIGN, LAYOUT, INTERIOR]);
    }
    // A thread that starts allocates smaller blocks: the freed one might have a new user.
    for size in [1024, 3000] {
        dies(&format!("twice span-gone-meanwhile {size}"), &[TWICE, FOREIGN, INTERIOR]);
    }
}

#[test]
fn layouts_of_other_blocks() {
    for (made, freed) in WRONG_LAYOUTS {
        dies(&format!("layout {made} {freed}"), &[LAYOUT]);
    }
    dies("layout-realloc", &[LAYOUT]);
}

/// Nothing is half changed, and no lock is held, when the abort is raised.
#[test]
fn what_handlers_of_the_abort_may_do() {
    let cases = [
        "foreign static small",
        "interior own 16",
        "interior medium 8",
        "interior huge 16",
        "twice own",
        "twice own-later",
        "twice remote",
        "twice two-threads",
        "twice adjacent",
        "twice filled-magazine",
        "twice span-gone 64",
        "twice span-gone-meanwhile 1024",
        "twice medium",
        "twice medium-gone",
        "twice huge",
        "layout small medium",
        "layout medium huge",
        "layout huge small",
    ];
    for handler in ["allocates", "goes on", "forks"] {
        for case in cases {
            let ended = common::run(&format!("{handler}: {case}"));
            assert!(ended.ok, "{handler}: {case}: {:?}\n{}{}", ended.signal, ended.out, ended.err);
        }
    }
}

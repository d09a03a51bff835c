//! How much stack the allocator needs: every path runs on a painted stack, and what it
//! changed there is measured. After the first call of a thread, no path needs more than
//! 2 KiB; the first call of a process or of a thread, the end of a thread and the child
//! of a fork need at most 4 KiB. Signal frames do not count.
//!
//! The allocator is not the global one here, so that a first call is the test's own.

mod common;

use allocator_core::Strata;
use common::layout;
use std::alloc::GlobalAlloc;
use std::ffi::c_void;
use std::hint::black_box;
use std::io::Error;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

static STRATA: Strata = Strata::new();

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes of stack for any call after the first one of its thread.
const EACH: usize = 2 * KIB;
/// Bytes of stack for a first call, the end of a thread, and the child of a fork.
const FIRST: usize = 4 * KIB;

/// What unused stack holds.
const PAINT: u64 = 0xa5c3_96e1_5a3c_691e;
/// Bytes of a painted stack: what needs too much is to be measured, not to fault.
const STACK: usize = 256 * KIB;

/// What runs on a painted stack.
type Deed = extern "C" fn();

/// A painted stack.
#[derive(Clone, Copy)]
struct Stack {
    bottom: *mut u64,
}

impl Stack {
    fn new() -> Self {
        // SAFETY: a new mapping, which is the test's.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let bottom = libc::mmap(ptr::null_mut(), STACK, access, kind, -1, 0);
            assert_ne!(bottom, libc::MAP_FAILED, "{}", Error::last_os_error());
            let stack = Stack { bottom: bottom.cast() };
            (0..STACK / 8).for_each(|word| stack.bottom.add(word).write(PAINT));
            stack
        }
    }

    /// Bytes from the lowest changed one to `top`.
    fn used_below(self, top: usize) -> usize {
        // SAFETY: within the mapping.
        let is_paint = |word: &usize| unsafe { self.bottom.add(*word).read() == PAINT };
        let unused = (0..STACK / 8).take_while(is_paint).count() * 8;
        top.saturating_sub(self.bottom.addr() + unused)
    }

    fn used(self) -> usize {
        self.used_below(self.bottom.addr() + STACK)
    }

    /// Runs a deed on this stack.
    fn run(self, deed: Deed) {
        // SAFETY: the contexts outlive the switches, and all zero is valid for them.
        unsafe {
            let mut here: Box<libc::ucontext_t> = Box::new(MaybeUninit::zeroed().assume_init());
            let mut there: Box<libc::ucontext_t> = Box::new(MaybeUninit::zeroed().assume_init());
            libc::getcontext(&raw mut *there);
            there.uc_stack.ss_sp = self.bottom.cast();
            there.uc_stack.ss_size = STACK;
            there.uc_link = &raw mut *here;
            libc::makecontext(&raw mut *there, deed, 0);
            libc::swapcontext(&raw mut *here, &raw const *there);
        }
    }
}

/// What every deed needs here, whatever it does.
fn least() -> usize {
    extern "C" fn nothing() {}
    let stack = Stack::new();
    stack.run(nothing);
    stack.used()
}

/// Checks how much stack a deed needs.
fn check(what: &str, bound: usize, deed: Deed) {
    let (stack, least) = (Stack::new(), least());
    stack.run(deed);
    report(what, bound, stack.used() - least);
}

fn report(what: &str, bound: usize, used: usize) {
    eprintln!("{what}: {used} bytes of stack");
    assert!(used <= bound, "{what}: {used} bytes of stack, more than {bound}");
}

/// The first call of a thread is behind it.
fn begin() {
    get(0, 8, 8);
    put(0);
}

/// Blocks with their sizes and alignments.
static BLOCKS: [[AtomicUsize; 3]; 20_000] = [const { [const { AtomicUsize::new(0) }; 3] }; 20_000];

/// Allocates a block, and writes its first byte. Returns whether there was memory.
#[inline(never)]
fn get(place: usize, size: usize, align: usize) -> bool {
    // SAFETY: the size is not 0; the byte is in the block.
    unsafe {
        let block = STRATA.alloc(layout(size, align));
        if !block.is_null() {
            block.write(1);
        }
        set(place, block, size, align);
        !block.is_null()
    }
}

#[inline(never)]
fn set(place: usize, block: *mut u8, size: usize, align: usize) {
    BLOCKS[place][0].store(block.expose_provenance(), Relaxed);
    BLOCKS[place][1].store(size, Relaxed);
    BLOCKS[place][2].store(align, Relaxed);
}

fn block(place: usize) -> (*mut u8, usize, usize) {
    let [block, size, align] = BLOCKS[place].each_ref().map(|word| word.load(Relaxed));
    (ptr::with_exposed_provenance_mut(block), size, align)
}

/// Frees a block.
#[inline(never)]
fn put(place: usize) {
    let (block, size, align) = block(place);
    BLOCKS[place][0].store(0, Relaxed);
    if !block.is_null() {
        // SAFETY: made with this layout, and not used again.
        unsafe { STRATA.dealloc(block, layout(size, align)) };
    }
}

/// Changes the size of a block.
#[inline(never)]
fn resize(place: usize, size: usize) {
    let (block, old, align) = block(place);
    // SAFETY: made with this layout.
    let moved = unsafe { STRATA.realloc(block, layout(old, align), size) };
    if !moved.is_null() {
        set(place, moved, size, align);
    }
}

/// Allocates `count` blocks of a size.
fn fill(count: usize, size: usize) {
    (0..count).for_each(|place| {
        get(place, size, 8);
    });
}

fn empty(count: usize) {
    (0..count).for_each(put);
}

/// First magazines, refills and flushes, new spans and new chunks, in all classes.
extern "C" fn small() {
    let mut size = 8;
    while size <= 32 * KIB {
        for _ in 0..2 {
            let count = (4 * MIB / size).min(4000);
            fill(count, size);
            empty(count);
        }
        size += size.div_ceil(5);
    }
}

/// Guarded blocks, in few of all classes.
extern "C" fn guarded() {
    for size in [8, 100, 1000, 10_000, 32 * KIB] {
        fill(50, size);
        empty(50);
    }
}

extern "C" fn zeroed() {
    for size in [100, 10_000, 100_000, MIB, 5 * MIB] {
        // SAFETY: the size is not 0.
        let block = unsafe { STRATA.alloc_zeroed(layout(size, 8)) };
        set(0, block, size, 8);
        put(0);
    }
}

extern "C" fn runs() {
    for size in [33 * KIB, 100 * KIB, 500 * KIB, MIB] {
        fill(50, size);
        (0..50).for_each(|place| resize(place, size / 2 + 20 * KIB));
        (0..50).for_each(|place| resize(place, size));
        empty(50);
    }
}

extern "C" fn huge() {
    for size in [MIB + 1, 3 * MIB, 20 * MIB] {
        fill(10, size);
        (0..10).for_each(|place| resize(place, size + 4 * MIB));
        (0..10).for_each(|place| resize(place, size));
        empty(10);
    }
}

extern "C" fn aligned() {
    let mut align = 8;
    while align <= 4 * MIB {
        for size in [1, 5000, 50_000, 2 * MIB] {
            get(0, size, align);
            put(0);
        }
        align *= 2;
    }
}

/// From a small block to a huge one and back.
extern "C" fn moves() {
    get(0, 1, 8);
    let mut size = 1;
    while size < 64 * MIB {
        resize(0, size);
        size += size.div_ceil(2);
    }
    while size > 1 {
        resize(0, size);
        size /= 2;
    }
    put(0);
}

extern "C" fn free_all() {
    empty(20_000);
}

/// Blocks of several other threads, which sleep or have ended: they go to the remote
/// cache, in batches to their owners, and from there into the spans.
fn remote(ended: bool) {
    const OWNERS: usize = 4;
    let (allocated, freed) = (&Barrier::new(OWNERS + 1), &Barrier::new(OWNERS + 1));
    std::thread::scope(|scope| {
        for owner in 0..OWNERS {
            scope.spawn(move || {
                for place in (owner..20_000).step_by(OWNERS) {
                    get(place, 16 << (place / 4 % 4), 8);
                }
                allocated.wait();
                if !ended {
                    freed.wait();
                }
            });
        }
        allocated.wait();
        // They count as asleep from 20 ms on.
        std::thread::sleep(std::time::Duration::from_millis(100));
        begin();
        check("remote frees", EACH, free_all);
        check("allocations after them", EACH, small);
        if !ended {
            freed.wait();
        }
    });
}

/// Another thread freed blocks of this one.
fn receive() {
    fill(20_000, 64);
    std::thread::scope(|scope| {
        scope.spawn(|| empty(20_000));
    });
    extern "C" fn take_again() {
        fill(20_000, 64);
    }
    check("received batches", EACH, take_again);
}

/// The mapped bytes grow, and slowly: the files of the container are read.
extern "C" fn grow() {
    for place in 0..50 {
        get(place, 20 * MIB, 8);
        // SAFETY: a plain call.
        unsafe { libc::usleep(11_000) };
    }
    empty(50);
}

/// Much becomes free at once, in spans and in page runs.
extern "C" fn excess() {
    for size in [1000, 100_000] {
        let count = (60 * MIB / size).min(20_000);
        fill(count, size);
        empty(count);
    }
    fill(10, 10 * MIB);
    empty(10);
}

/// More than a limit allows.
extern "C" fn exhaust() {
    for size in [100, 5000, 100_000, 3 * MIB] {
        let most = (64 * MIB / size).min(20_000);
        let mut count = 0;
        while count < most && get(count, size, 8) {
            count += 1;
        }
        if count != 0 {
            resize(0, 70 * MIB);
            resize(0, 3 * MIB);
            resize(0, size);
        }
        (0..count).step_by(2).for_each(put);
        (1..count).step_by(2).for_each(put);
    }
}

/// The process gets no more memory from the system.
extern "C" fn exhaust_addresses() {
    let limit = libc::rlimit { rlim_cur: 64 << 20, rlim_max: 64 << 20 };
    // SAFETY: the limit is a valid one.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
    exhaust();
}

extern "C" fn first() {
    begin();
}

/// The end of a thread with full magazines and blocks of other threads. Its stack is
/// ours, and the deepest frames of its function lie above the mark.
fn thread_end() {
    static MARK: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn idle(_: *mut c_void) -> *mut c_void {
        let mut local = 0u64;
        MARK.store((&raw const *black_box(&mut local)).addr(), Relaxed);
        ptr::null_mut()
    }
    extern "C" fn busy(_: *mut c_void) -> *mut c_void {
        let stack = Stack::new();
        stack.run(small);
        stack.run(free_half);
        idle(ptr::null_mut())
    }
    extern "C" fn free_half() {
        (0..100).for_each(put);
    }
    let used = |body| {
        let stack = Stack::new();
        // SAFETY: the stack outlives the thread.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack.bottom.cast(), STACK);
            let mut thread = MaybeUninit::uninit();
            let none = ptr::null_mut();
            let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), body, none);
            assert_eq!(error, 0);
            libc::pthread_join(thread.assume_init(), ptr::null_mut());
        }
        stack.used_below(MARK.load(Relaxed))
    };
    fill(100, 50);
    eprintln!("the end of a thread that did nothing: {} bytes", used(idle));
    report("the end of a thread", FIRST, used(busy));
}

/// The painted stack for what does not return.
static LAST: AtomicPtr<u64> = AtomicPtr::new(ptr::null_mut());

/// Reports from the end of the process, on another stack.
fn report_last(what: &str, bound: usize) {
    let stack = Stack { bottom: LAST.load(Relaxed) };
    report(what, bound, stack.used() - least());
}

/// The child of a fork on a painted stack. What `fork` itself needs counts, too.
fn fork() {
    extern "C" fn fork_and_go_on() {
        // SAFETY: the child has one thread, as has this process.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            moves();
            small();
        }
        CHILD.store(pid as usize, Relaxed);
    }
    static CHILD: AtomicUsize = AtomicUsize::new(0);
    check("a fork, and its child", FIRST, fork_and_go_on);
    let pid = CHILD.load(Relaxed) as libc::pid_t;
    if pid == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the child is ours.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
}

/// A block that is not ours.
extern "C" fn free_foreign() {
    let (foreign, _, _) = block(0);
    set(0, foreign.wrapping_add(32 * MIB), 5000, 8);
    put(0);
}

/// A guarded block that is freed twice.
extern "C" fn free_guarded_twice() {
    get(0, 100, 8);
    let (twice, size, align) = block(0);
    put(0);
    set(0, twice, size, align);
    put(0);
}

/// A block that is freed twice, which is noticed when it leaves the cache.
extern "C" fn free_twice() {
    fill(4000, 64);
    let (twice, size, align) = block(50);
    empty(4000);
    for place in 0..4000 {
        set(place, twice, size, align);
        put(place);
    }
}

/// A report of misuse, and the abort up to its signal.
fn misuse(deed: Deed) {
    extern "C" fn on_abort(_: i32) {
        report_last("a report of misuse", EACH);
        common::at_end();
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    let other = Stack::new();
    let stack = Stack::new();
    LAST.store(stack.bottom, Relaxed);
    // SAFETY: the handler runs on a stack of its own.
    unsafe {
        let place = libc::stack_t { ss_sp: other.bottom.cast(), ss_flags: 0, ss_size: STACK };
        assert_eq!(libc::sigaltstack(&raw const place, ptr::null_mut()), 0);
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_abort as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(libc::SIGABRT, &raw const action, ptr::null_mut());
    }
    stack.run(deed);
    panic!("not noticed");
}

/// Runs after all else at the end of a process.
#[used]
#[unsafe(link_section = ".fini_array.00001")]
static END: extern "C" fn() = at_exit;

extern "C" fn at_exit() {
    if !LAST.load(Relaxed).is_null() {
        extern "C" fn say() {
            report_last("what is printed at exit", FIRST);
            common::at_end();
        }
        Stack::new().run(say);
    }
}

/// The process ends on a painted stack, and prints what its memory is used for.
fn exit() {
    extern "C" fn leave() {
        moves();
        // SAFETY: ends the process.
        unsafe { libc::exit(0) };
    }
    let stack = Stack::new();
    LAST.store(stack.bottom, Relaxed);
    stack.run(leave);
}

const CASES: &[(&str, &str, fn())] = &[
    ("process", "", || check("the first call of a process", FIRST, first)),
    ("options", "helpr:true,help:true,thp:none", || {
        check("the first call of a process that reports on its options", FIRST, first);
    }),
    ("thread", "", || {
        for _ in 0..3 {
            let run = || check("the first call of a thread", FIRST, first);
            std::thread::spawn(run).join().unwrap();
        }
    }),
    ("paths", "", || {
        begin();
        for round in 1..=2 {
            check("small blocks", EACH, small);
            check("zeroed blocks", EACH, zeroed);
            check("page runs", EACH, runs);
            check("huge blocks", EACH, huge);
            check("aligned blocks", EACH, aligned);
            check("moves", EACH, moves);
            eprintln!("round {round}");
        }
    }),
    ("asleep", "", || remote(false)),
    ("ended", "", || remote(true)),
    ("receive", "", receive),
    ("growth", "", || {
        begin();
        check("growth in a container", EACH, grow);
    }),
    ("helper", "", || {
        begin();
        check("much that is free, for the helper", EACH, excess);
    }),
    ("excess", "helper:false", || {
        begin();
        check("much that is free, without a helper", EACH, excess);
        check("growth without a helper", EACH, grow);
    }),
    ("limit", "limit:16m", || {
        begin();
        check("above the soft limit", EACH, exhaust);
    }),
    ("hard", "hard_limit:32m", || {
        begin();
        check("at the hard limit", EACH, exhaust);
    }),
    ("refused", "", || {
        begin();
        check("without memory", EACH, exhaust_addresses);
    }),
    ("thread_end", "", thread_end),
    ("fork", "", || {
        begin();
        fork();
    }),
    ("foreign", "", || {
        begin();
        get(0, 5000, 8);
        misuse(free_foreign);
    }),
    ("twice", "", || {
        begin();
        misuse(free_twice);
    }),
    ("guarded", "guarded:1", || {
        begin();
        (0..3).for_each(|_| check("guarded blocks", EACH, guarded));
    }),
    ("guarded_twice", "guarded:1", || {
        begin();
        guarded();
        misuse(free_guarded_twice);
    }),
    ("exit", "explain:exit", exit),
];

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    let (_, _, run) = CASES.iter().find(|(name, ..)| *name == case).unwrap();
    run();
    common::at_end();
}

/// This program once more, as users build theirs.
#[cfg(debug_assertions)]
#[test]
fn the_released_allocator_needs_little_stack() {
    let output = common::cargo("test", common::RELEASE).args(["--test", "stack"]).output().unwrap();
    let ended = common::Ended::from(output);
    let passed = ended.out.contains("test every_path_needs_little_stack ... ok");
    assert!(ended.ok && passed, "{}\n{}", ended.out, ended.err);
}

#[cfg(not(debug_assertions))]
#[test]
fn every_path_needs_little_stack() {
    for (case, options, _) in CASES {
        let ended = common::command(case).env("STRATA_CONF", options).output().unwrap();
        common::check_success(case, ended.into());
    }
}

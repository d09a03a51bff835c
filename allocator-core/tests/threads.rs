//! Threads start and end without leaving memory behind, whatever they do while they
//! end. Memory that is passed from thread to thread does not accumulate.

mod common;

use allocator_core::Strata;
use common::{Block, anonymous, mib};
use std::cell::RefCell;
use std::env;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;

/// Physical and mapped memory, after all free memory was purged.
fn held() -> (usize, usize) {
    Strata::purge();
    (anonymous(), Strata::stats().mapped_bytes())
}

/// Physical memory has grown by at most `most`, and mapped memory by a few chunks at
/// most: a single block may keep a chunk.
fn has_not_grown(before: (usize, usize), most: usize) {
    let now = held();
    eprintln!(
        "{:.2} to {:.2} MiB held, {:.2} to {:.2} mapped",
        mib(before.0),
        mib(now.0),
        mib(before.1),
        mib(now.1)
    );
    assert!(now.0 <= before.0 + most, "physical memory grew");
    assert!(now.1 <= before.1 + 8 * MIB, "mapped memory grew");
}

/// The work of a thread: blocks of many classes, page runs, a huge block.
fn errand(n: usize) {
    make(n).into_iter().for_each(|block| block.free(&GLOBAL));
}

fn make(n: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    for i in 0..60 {
        blocks.push(Block::new(&GLOBAL, 1 + i * i * 8 + n % 16, 8).unwrap());
    }
    if n.is_multiple_of(16) {
        blocks.push(Block::new(&GLOBAL, 200 << 10, 8).unwrap());
        blocks.push(Block::new(&GLOBAL, 2 << 20, 8).unwrap());
    }
    blocks
}

/// Fewer threads, unless the environment says that there is time.
fn times() -> usize {
    if env::var_os("STRATA_NIGHTLY").is_some() { 10 } else { 1 }
}

fn one_after_another() {
    let run = |threads: usize| {
        for n in 0..threads {
            thread::spawn(move || errand(n)).join().unwrap();
        }
    };
    run(10);
    let before = held();
    run(10_000 * times());
    has_not_grown(before, MIB);
}

fn many_at_a_time() {
    let run = |rounds: usize, at_a_time: usize| {
        let all_here = Barrier::new(at_a_time);
        for _ in 0..rounds {
            common::in_threads((0..at_a_time).map(|n| {
                let all_here = &all_here;
                move || {
                    let blocks = make(n);
                    all_here.wait();
                    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
                }
            }));
        }
    };
    run(60, 64);
    let before = held();
    run(120 * times(), 64);
    has_not_grown(before, MIB);
}

fn detached() {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    let others = Strata::stats().threads();
    let run = |threads: usize| {
        let target = DONE.load(Ordering::Acquire) + threads;
        let mut started = target - threads;
        while started < target {
            // At most eight at a time: the test is not about the system's limits.
            while started >= DONE.load(Ordering::Acquire) + 8 {
                thread::yield_now();
            }
            let n = started;
            drop(thread::spawn(move || {
                errand(n);
                DONE.fetch_add(1, Ordering::Release);
            }));
            started += 1;
        }
        // Until they have ended, too.
        while DONE.load(Ordering::Acquire) < target || Strata::stats().threads() > others {
            thread::yield_now();
        }
    };
    run(100);
    let before = held();
    run(3000);
    has_not_grown(before, 2 * MIB);
}

/// A value whose destructor allocates and frees when its thread ends, and then sets
/// the next such value.
struct Late(usize);

thread_local! {
    static FIRST: RefCell<Option<Late>> = const { RefCell::new(None) };
    static SECOND: RefCell<Option<Late>> = const { RefCell::new(None) };
    static THIRD: RefCell<Option<Late>> = const { RefCell::new(None) };
}

static LATE: AtomicUsize = AtomicUsize::new(0);

impl Drop for Late {
    fn drop(&mut self) {
        errand(self.0);
        LATE.fetch_add(1, Ordering::Relaxed);
        let next = match self.0 {
            1 => &SECOND,
            2 => &THIRD,
            _ => return,
        };
        let late = Late(self.0 + 1);
        let _ = next.try_with(|next| *next.borrow_mut() = Some(late));
    }
}

fn thread_local_destructors() {
    let run = |threads: usize| {
        for _ in 0..threads {
            thread::spawn(|| FIRST.with(|first| *first.borrow_mut() = Some(Late(1))))
                .join()
                .unwrap();
        }
    };
    run(10);
    let before = held();
    let live = Strata::stats().live_bytes();
    run(3000);
    assert_eq!(LATE.load(Ordering::Relaxed), 3 * 3010);
    assert_eq!(Strata::stats().live_bytes(), live);
    has_not_grown(before, MIB);
}

/// A key that was created before the allocator's own, and one created after it.
static OLDER: AtomicU32 = AtomicU32::new(u32::MAX);
static YOUNGER: AtomicU32 = AtomicU32::new(u32::MAX);
static ROUNDS_RUN: AtomicUsize = AtomicUsize::new(0);
static WORKS_BEFORE_MAIN: AtomicBool = AtomicBool::new(false);

/// Runs before `main`, and before any Rust code allocates.
extern "C" fn before_main() {
    let mut key = 0;
    // SAFETY: plain calls; `round` is a destructor.
    unsafe {
        if libc::pthread_key_create(&raw mut key, Some(round)) == 0 {
            OLDER.store(key, Ordering::Relaxed);
        }
    }
    let blocks: Vec<Vec<u8>> = (0..1000).map(|i| vec![i as u8; 1 + i * 7]).collect();
    let whole = blocks.iter().enumerate().all(|(i, block)| block.iter().all(|b| *b == i as u8));
    WORKS_BEFORE_MAIN.store(whole, Ordering::Relaxed);
}

#[used]
// SAFETY: the loader calls the functions of this section once, before `main`.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

fn works_before_main() {
    assert!(WORKS_BEFORE_MAIN.load(Ordering::Relaxed));
}

/// The key, the number of rounds so far, and a block from the last round.
type Rounds = (u32, usize, Vec<u8>);

/// A key's destructor. It allocates and frees, keeps a block from one round for the
/// next, and asks for as many rounds as the system allows.
extern "C" fn round(value: *mut c_void) {
    // SAFETY: the value is a `Box` from `set_rounds` or from the round before.
    let mut state = unsafe { Box::from_raw(value.cast::<Rounds>()) };
    errand(state.1);
    assert!(state.2.iter().all(|byte| *byte == 0x5a));
    state.2 = vec![0x5a; 100 * state.1];
    state.1 += 1;
    ROUNDS_RUN.fetch_add(1, Ordering::Relaxed);
    let key = state.0;
    // The C library runs at most four rounds.
    if state.1 < 4 {
        // SAFETY: the key exists; the next round owns the `Box`.
        unsafe { libc::pthread_setspecific(key, Box::into_raw(state).cast()) };
    }
}

fn set_rounds(key: u32) {
    let state: Box<Rounds> = Box::new((key, 0, vec![0x5a; 64]));
    // SAFETY: the key exists; its destructor owns the `Box`.
    unsafe { libc::pthread_setspecific(key, Box::into_raw(state).cast()) };
}

fn key_destructors() {
    let mut key = 0;
    // SAFETY: plain call.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(round)) }, 0);
    YOUNGER.store(key, Ordering::Relaxed);
    let (older, younger) = (OLDER.load(Ordering::Relaxed), key);
    assert!(older < younger);
    let run = |threads: usize| {
        for n in 0..threads {
            thread::spawn(move || {
                if n % 3 != 0 {
                    set_rounds(older);
                }
                if n % 3 != 1 {
                    set_rounds(younger);
                }
            })
            .join()
            .unwrap();
        }
    };
    run(30);
    let (before, live) = (held(), Strata::stats().live_bytes());
    ROUNDS_RUN.store(0, Ordering::Relaxed);
    run(3000);
    assert_eq!(ROUNDS_RUN.load(Ordering::Relaxed), 4 * 4000);
    assert_eq!(Strata::stats().live_bytes(), live);
    has_not_grown(before, MIB);
}

/// Threads that never allocate and only free.
fn threads_that_only_free() {
    let run = |threads: usize| {
        let (send, receive) = mpsc::sync_channel::<Vec<Block>>(4);
        let receive = std::sync::Mutex::new(receive);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let blocks = receive.lock().unwrap().recv().unwrap();
                    for block in blocks {
                        block.free(&GLOBAL);
                    }
                });
            }
            for n in 0..threads {
                let block = |i: usize| Block::new(&GLOBAL, 1 + (i * 97 + n) % 2000, 8).unwrap();
                send.send((0..1000).map(block).collect()).unwrap();
            }
        });
    };
    run(4);
    let (before, live) = (held(), Strata::stats().live_bytes());
    for _ in 0..50 {
        run(4);
    }
    assert!(Strata::stats().live_bytes() <= live + 4096);
    has_not_grown(before, MIB);
}

/// One thread allocates blocks and others free them, for a long time. Physical memory
/// stays within twice the live blocks.
fn producer_and_consumers(consumers: usize) {
    const BATCH: usize = 1000;
    const BATCHES_ON_THE_WAY: usize = 40;
    let blocks = 20_000_000;
    let start = held().0;
    let (send, receive) = mpsc::sync_channel::<Vec<Block>>(BATCHES_ON_THE_WAY);
    let receive = std::sync::Mutex::new(receive);
    let peak = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..consumers {
            scope.spawn(|| {
                loop {
                    let batch = receive.lock().unwrap().recv();
                    let Ok(batch) = batch else { break };
                    for block in batch {
                        block.free(&GLOBAL);
                    }
                }
            });
        }
        for n in 0..blocks / BATCH {
            let batch: Vec<Block> =
                (0..BATCH).map(|_| Block::new(&GLOBAL, 64, 8).unwrap()).collect();
            send.send(batch).unwrap();
            if n.is_multiple_of(100) {
                peak.fetch_max(anonymous(), Ordering::Relaxed);
            }
        }
        drop(send);
    });
    // A batch counts its blocks and the vector that holds them.
    let batches = BATCHES_ON_THE_WAY + consumers + 2;
    let live = batches * BATCH * (64 + size_of::<Block>());
    let grown = peak.into_inner().saturating_sub(start);
    eprintln!("{consumers}: {:.2} MiB for {:.2} MiB live", mib(grown), mib(live));
    assert!(grown <= 2 * live + 4 * MIB);
}

/// Blocks of one size: more than a trial takes, so their class leases, and less than a span has.
const LEASED: usize = 200;

fn leased() -> Vec<Block> {
    (0..LEASED).map(|_| Block::new(&GLOBAL, 112, 8).unwrap()).collect()
}

/// What [`leased`] leaves in a cache when it is freed.
const LEASED_BYTES: usize = LEASED * 112;

/// Bytes that living threads cache, after this one flushed all that it has: a purge ends the
/// caches that nobody has.
fn cached_after_purge() -> usize {
    Strata::purge();
    Strata::stats().cached_bytes()
}

/// A thread begins with the blocks that the one before it freed last, and frees to them.
fn left_to_the_next() {
    common::others_sleep();
    let free = || {
        let blocks = leased();
        let last = blocks.last().unwrap().ptr.addr();
        blocks.into_iter().for_each(|block| block.free(&GLOBAL));
        last
    };
    let others = cached_after_purge();
    let last = thread::spawn(free).join().unwrap();
    let first = || {
        let block = Block::new(&GLOBAL, 112, 8).unwrap();
        let at = block.ptr.addr();
        block.free(&GLOBAL);
        at
    };
    for _ in 0..3 {
        assert_eq!(thread::spawn(first).join().unwrap(), last);
    }
    assert_eq!(cached_after_purge(), others);
}

/// Of many threads that end at once, few leave anything.
fn few_leave_something() {
    common::others_sleep();
    let others = cached_after_purge();
    let all_here = Barrier::new(64);
    common::in_threads((0..64).map(|_| {
        || {
            let blocks = leased();
            all_here.wait();
            blocks.into_iter().for_each(|block| block.free(&GLOBAL));
        }
    }));
    let cached = Strata::stats().cached_bytes().saturating_sub(others);
    assert!((LEASED_BYTES / 2..=9 * LEASED_BYTES).contains(&cached), "{cached} bytes");
    assert_eq!(cached_after_purge(), others);
}

extern "C" fn late_exit() {
    let blocks: Vec<Vec<u8>> = (0..1000).map(|i| vec![i as u8; 1 + i * 7]).collect();
    let whole = blocks.iter().enumerate().all(|(i, block)| block.iter().all(|b| *b == i as u8));
    drop(blocks);
    drop(std::hint::black_box(vec![1u8; 3 << 20]));
    if whole && thread::spawn(|| errand(16)).join().is_ok() {
        common::at_end();
    }
}

fn works_at_exit() -> ! {
    // SAFETY: plain calls, with a handler that fits.
    unsafe {
        assert_eq!(libc::atexit(late_exit), 0);
        libc::exit(0)
    }
}

/// The first thread exits without running its hooks. Other threads go on, and end
/// the process.
fn without_the_first_thread() {
    extern "C" fn others(_: *mut c_void) -> *mut c_void {
        for n in 0..200 {
            errand(n);
            thread::spawn(move || errand(n)).join().unwrap();
        }
        common::at_end();
        std::process::exit(0);
    }
    errand(1);
    // SAFETY: `others` has the right type, and uses nothing of this thread.
    unsafe {
        let mut thread = 0;
        let none = std::ptr::null_mut();
        assert_eq!(libc::pthread_create(&raw mut thread, std::ptr::null(), others, none), 0);
        libc::syscall(libc::SYS_exit, 0);
    }
}

fn values_behind_the_first_block_of_keys() {
    // Beyond 32 keys, setting a value makes the C library allocate.
    let mut keys = Vec::new();
    for _ in 0..200 {
        let mut key = 0;
        // SAFETY: plain call.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(round)) }, 0);
        keys.push(key);
    }
    for _ in 0..20 {
        let last = *keys.last().unwrap();
        thread::spawn(move || set_rounds(last)).join().unwrap();
    }
    assert_eq!(ROUNDS_RUN.load(Ordering::Relaxed), 80);
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "one-after-another" => one_after_another(),
        "many-at-a-time" => many_at_a_time(),
        "detached" => detached(),
        "thread-local-destructors" => thread_local_destructors(),
        "key-destructors" => key_destructors(),
        "many-keys" => values_behind_the_first_block_of_keys(),
        "only-free" => threads_that_only_free(),
        "left-to-the-next" => left_to_the_next(),
        "few-leave-something" => few_leave_something(),
        "one-consumer" => producer_and_consumers(1),
        "three-consumers" => producer_and_consumers(3),
        "before-main" => works_before_main(),
        "at-exit" => works_at_exit(),
        "without-the-first-thread" => without_the_first_thread(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn many_threads_one_after_another_leave_nothing() {
    common::succeeds("one-after-another");
}

#[test]
fn many_threads_64_at_a_time_leave_nothing() {
    common::succeeds("many-at-a-time");
}

#[test]
fn a_thread_begins_with_what_the_one_before_it_left() {
    common::succeeds("left-to-the-next");
    common::succeeds("few-leave-something");
}

#[test]
fn detached_threads_leave_nothing() {
    common::succeeds("detached");
}

#[test]
fn thread_local_destructors_may_allocate() {
    common::succeeds("thread-local-destructors");
}

#[test]
fn key_destructors_may_allocate_in_every_round() {
    common::succeeds("key-destructors");
    common::succeeds("many-keys");
}

#[test]
fn a_thread_may_only_free() {
    common::succeeds("only-free");
}

#[test]
fn what_producers_make_and_consumers_free_does_not_pile_up() {
    common::succeeds("one-consumer");
    common::succeeds("three-consumers");
}

#[test]
fn it_works_before_main_at_exit_and_without_the_first_thread() {
    common::succeeds("before-main");
    common::succeeds("at-exit");
    common::succeeds("without-the-first-thread");
}

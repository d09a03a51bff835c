//! Forks within forks, a thousand deep, amid busy threads: each child allocates, finds the
//! counts right, and gets back what vanished threads had.

mod common;

use allocator_core::Strata;
use common::Random;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::{env, mem, ptr};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const THREADS: usize = 4;
const SLOTS: usize = 400;

/// The blocks that the threads hold. The first word of each is its size, and so is the last.
static BLOCKS: [[AtomicPtr<usize>; SLOTS]; THREADS] =
    [const { [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS] }; THREADS];

/// Generations: fewer, unless the environment says that there is time.
fn generations() -> usize {
    if env::var_os("STRATA_NIGHTLY").is_some() { 1000 } else { 150 }
}

fn layout(words: usize) -> Layout {
    Layout::array::<usize>(words).unwrap()
}

/// A block of so many words; null is a failure of the test.
fn make(words: usize) -> *mut usize {
    // SAFETY: the size is not 0, and the block has so many words.
    unsafe {
        let block = GLOBAL.alloc(layout(words)).cast::<usize>();
        if block.is_null() {
            fail("null");
        }
        block.write(words);
        block.add(words - 1).write(words);
        block
    }
}

/// Puts a block into a slot, and frees the one that was there.
fn exchange(slot: &AtomicPtr<usize>, block: *mut usize) {
    let old = slot.swap(block, Ordering::AcqRel);
    if !old.is_null() {
        // SAFETY: the block was in the slot, and is nobody else's now.
        unsafe {
            let words = old.read();
            if words == 0 || old.add(words - 1).read() != words {
                fail("a block was overwritten");
            }
            GLOBAL.dealloc(old.cast(), layout(words));
        }
    }
}

/// Ends the process. It does not unwind: the lock of standard error may be a vanished thread's.
fn fail(what: &str) -> ! {
    // SAFETY: plain calls.
    unsafe {
        libc::write(2, what.as_ptr().cast(), what.len());
        libc::write(2, b"\n".as_ptr().cast(), 1);
        libc::_exit(1);
    }
}

/// Exchanges blocks of all threads, most of them the thread's own.
fn work(random: &mut Random, thread: usize) {
    for _ in 0..100 {
        let of = if random.below(4) == 0 { random.below(THREADS) } else { thread };
        let log = if random.below(200) == 0 { 14 } else { 7 };
        let words = 2 + random.below(1 << log);
        exchange(&BLOCKS[of][random.below(SLOTS)], make(words));
    }
}

extern "C" fn busy(thread: *mut libc::c_void) -> *mut libc::c_void {
    let mut random = Random(thread.addr() as u64 + 1);
    loop {
        work(&mut random, thread.addr() % THREADS);
        if thread.addr().is_multiple_of(THREADS) && random.below(30) == 0 {
            Strata::purge();
        }
    }
}

/// Starts a thread through libc: the standard library has a lock of its own, which may be a
/// vanished thread's.
fn start(body: extern "C" fn(*mut libc::c_void) -> *mut libc::c_void, arg: usize) {
    let mut thread = mem::MaybeUninit::uninit();
    let arg = ptr::without_provenance_mut(arg);
    // SAFETY: `thread` can be written, and null means the default attributes.
    let failed = unsafe { libc::pthread_create(thread.as_mut_ptr(), ptr::null(), body, arg) };
    if failed != 0 {
        fail("no thread");
    }
}

fn free_all() {
    BLOCKS.iter().flatten().for_each(|slot| exchange(slot, ptr::null_mut()));
}

/// Resident bytes of this process that belong to it alone or to its ancestors, too.
fn resident() -> usize {
    let mut text = [0u8; 128];
    // SAFETY: plain calls; the buffer has so many bytes.
    unsafe {
        let file = libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY);
        libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
    }
    let text = std::str::from_utf8(&text).unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// What generations may lose on average: a block that each thread had just got, and what it
/// had on its way in the allocator.
const LOST: usize = 64 << 10;

fn deep() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let generations = generations();
    // SAFETY: plain calls. Each process ends when it has forked; this one waits for all.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        let pid = libc::fork();
        if pid != 0 {
            let mut status = 0;
            let mut ended = 0;
            while libc::wait(&raw mut status) > 0 {
                assert_eq!(status, 0, "generation {ended}");
                ended += 1;
            }
            assert_eq!(ended, generations + 1);
            return;
        }
        let live = Strata::stats().live_bytes();
        let mut random = Random(7);
        for generation in 0..generations {
            libc::alarm(20);
            for thread in 0..THREADS {
                start(busy, generation * THREADS + thread);
            }
            for _ in 0..5 {
                work(&mut random, generation % THREADS);
            }
            libc::usleep(1000);
            match libc::fork() {
                0 => {}
                pid if pid > 0 => libc::_exit(0),
                _ => fail("no fork"),
            }
            free_all();
            if generation % 10 == 0 {
                Strata::purge();
                let stats = Strata::stats();
                let lost = (1 << 20) + (generation + 1) * LOST;
                if env::var_os("STRATA_SHOW").is_some() {
                    eprintln!(
                        "{generation}: {} live, {} committed, {} free, {} mapped, {} metadata, {} resident",
                        stats.live_bytes() >> 10,
                        stats.committed_bytes() >> 10,
                        stats.free_bytes() >> 10,
                        stats.mapped_bytes() >> 10,
                        stats.metadata_bytes() >> 10,
                        resident() >> 10
                    );
                }
                if stats.free_bytes() > 256 << 10 {
                    fail("phantom free bytes");
                }
                if stats.live_bytes() > live + lost {
                    fail("phantom live bytes");
                }
                if stats.committed_bytes() > stats.live_bytes() + (8 << 20) + lost {
                    fail("committed bytes grow");
                }
                if resident() > (40 << 20) + lost {
                    fail("resident bytes grow");
                }
            }
        }
        DONE.store(true, Ordering::Relaxed);
        libc::_exit(0);
    }
}

const LARGE: usize = 100 << 20;

/// A child frees what the parent had, in a thread of its own, too. The memory goes back.
fn freed() {
    let half = || {
        let blocks = (0..LARGE / 2 / 4096).map(|_| {
            let block = make(512);
            // SAFETY: the block has so many words.
            unsafe { block.write(512) };
            block.addr()
        });
        blocks.collect::<Vec<_>>()
    };
    let (first, mut second) = (half(), half());
    for thread in 0..THREADS {
        start(busy, thread);
    }
    // SAFETY: plain calls.
    unsafe {
        libc::usleep(20_000);
        let pid = libc::fork();
        if pid != 0 {
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            assert_eq!(status, 0);
            // Its threads go on.
            libc::_exit(ended_well());
        }
        libc::alarm(60);
        let before = Strata::stats();
        if before.live_bytes() < LARGE {
            fail("the blocks are not counted");
        }
        free_blocks(first);
        let mut thread = 0;
        let arg = (&raw mut second).cast();
        if libc::pthread_create(&raw mut thread, ptr::null(), frees, arg) != 0
            || libc::pthread_join(thread, ptr::null_mut()) != 0
        {
            fail("no thread");
        }
        free_all();
        // The helper does it, unasked.
        for _ in 0..100 {
            libc::usleep(100_000);
            let stats = Strata::stats();
            if stats.committed_bytes() < 16 << 20 && resident() < 40 << 20 {
                if stats.live_bytes() > 4 << 20 {
                    fail("live bytes are wrong");
                }
                libc::_exit(0);
            }
        }
        fail("the memory does not go back");
    }
}

/// Prints that the case came to its end, for a process that cannot end in the usual way.
fn ended_well() -> i32 {
    common::at_end();
    0
}

fn free_blocks(blocks: Vec<usize>) {
    for block in blocks {
        // SAFETY: made with this layout.
        unsafe { GLOBAL.dealloc(ptr::with_exposed_provenance_mut(block), layout(512)) };
    }
}

extern "C" fn frees(blocks: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the starter waits, and uses the vector no more.
    free_blocks(std::mem::take(unsafe { &mut *blocks.cast::<Vec<usize>>() }));
    ptr::null_mut()
}

/// A signal handler forks, whatever it interrupts. The child goes on with that, and forks
/// again, amid busy threads.
fn in_a_handler() {
    extern "C" fn handler(_: i32) {
        // SAFETY: plain calls. The child returns to what was interrupted, and is ended by
        // its own work.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                CHILD.store(true, Ordering::Relaxed);
                return;
            }
            let mut status = 0;
            if libc::waitpid(pid, &raw mut status, 0) != pid || status != 0 {
                fail("a child failed");
            }
        }
    }
    static CHILD: AtomicBool = AtomicBool::new(false);
    for thread in 0..THREADS {
        start(busy, thread);
    }
    let mut random = Random(3);
    // SAFETY: plain calls.
    unsafe {
        libc::signal(libc::SIGUSR1, handler as extern "C" fn(i32) as libc::sighandler_t);
        let main = libc::pthread_self();
        extern "C" fn sends(thread: *mut libc::c_void) -> *mut libc::c_void {
            for _ in 0..150 {
                // SAFETY: the thread lives as long as the process.
                unsafe {
                    libc::usleep(3_000);
                    libc::pthread_kill(thread.addr() as libc::pthread_t, libc::SIGUSR1);
                }
            }
            DONE.store(true, Ordering::Relaxed);
            ptr::null_mut()
        }
        static DONE: AtomicBool = AtomicBool::new(false);
        start(sends, main as usize);
        while !DONE.load(Ordering::Relaxed) {
            work(&mut random, 0);
            if CHILD.load(Ordering::Relaxed) {
                libc::alarm(20);
                work(&mut random, 1);
                // Not in a slow path any more.
                let pid = libc::fork();
                if pid == 0 {
                    libc::alarm(20);
                    free_all();
                    start(busy, 1);
                    libc::usleep(500);
                    Strata::purge();
                    libc::_exit(0);
                }
                let mut status = 0;
                libc::waitpid(pid, &raw mut status, 0);
                libc::_exit(i32::from(status != 0));
            }
        }
        libc::_exit(ended_well());
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "deep" => deep(),
        "freed" => freed(),
        "handler" => in_a_handler(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn a_child_gives_memory_back() {
    common::succeeds("freed");
}

#[test]
fn a_signal_handler_may_fork_in_any_place() {
    common::succeeds("handler");
}

#[test]
fn forks_may_be_nested_deep() {
    common::succeeds("deep");
}

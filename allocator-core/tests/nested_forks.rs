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
        if thread.addr() % THREADS == 0 && random.below(30) == 0 {
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

/// What a generation may lose: a block that each thread had just got, and what it had on its
/// way in the allocator.
const LOST: usize = THREADS * (48 << 10);

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
                if status != 0 {
                    fail("a generation failed");
                }
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
                let lost = (generation + 1) * LOST;
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

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "deep" => deep(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn forks_may_be_nested_deep() {
    common::succeeds("deep");
}

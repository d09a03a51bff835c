//! The child of a fork can allocate, free and start threads, whatever the other
//! threads were doing. The parent goes on as before.

mod common;

use allocator_core::Strata;
use common::{Block, Random};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use std::{fs, thread};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const FORKS: usize = 500;

/// Allocates blocks of every class, page runs and huge blocks, writes, checks and
/// frees them. Returns how many were refused or wrong.
fn everything(seed: usize) -> usize {
    blocks_up_to(usize::MAX, seed)
}

/// The same, for sizes up to `most`.
fn blocks_up_to(most: usize, seed: usize) -> usize {
    let mut bad = 0;
    let mut blocks: Vec<(*mut u8, std::alloc::Layout)> = Vec::new();
    let classes = (1..=64).map(|i| i * 16).chain(
        (11..=15).flat_map(|log| (8..=16).map(move |eighths| (1usize << log) / 16 * eighths)),
    );
    let large = [40 << 10, 100 << 10, 300 << 10, 1 << 20, (1 << 20) + 1, 3 << 20];
    for size in classes.chain(large).filter(|size| *size <= most) {
        for n in 0..2 {
            let size = size - n;
            match Block::new(&GLOBAL, size, 8) {
                Some(block) => {
                    // SAFETY: the block has so many bytes.
                    unsafe { common::fill(block.ptr, size, (seed + size) as u64) };
                    blocks.push((block.ptr, block.layout));
                }
                None => bad += 1,
            }
        }
    }
    for (ptr, layout) in blocks {
        // SAFETY: the block is ours, and has so many bytes.
        unsafe {
            let seed = (seed + layout.size()) as u64;
            bad += usize::from(!common::is_filled(ptr, layout.size(), seed));
        }
        Block { ptr, layout }.free(&GLOBAL);
    }
    bad
}

/// The work of the child. Returns its exit code.
fn in_the_child(n: usize, inherited: Vec<Block>) -> i32 {
    // SAFETY: plain call: a child that hangs is killed, after its parent has seen it.
    unsafe { libc::alarm(140) };
    if everything(n) != 0 {
        return 1;
    }
    for block in inherited {
        block.free(&GLOBAL);
    }
    if n.is_multiple_of(4) {
        Strata::purge();
    }
    if !two_threads(n) {
        return 2;
    }
    let stats = Strata::stats();
    if stats.mapped_bytes() == 0 {
        return 3;
    }
    if n.is_multiple_of(16) {
        // Fork again, in the child.
        // SAFETY: the process has no other thread.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = i32::from(everything(n) != 0);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(code) };
        }
        return if ended(pid) == 0 { 0 } else { 4 };
    }
    0
}

/// Starts two threads that allocate. Returns whether both succeeded. The standard
/// library is not used: it takes a lock of its own when it starts a thread, and in
/// the child that lock may be held by a thread that does not exist there.
fn two_threads(n: usize) -> bool {
    extern "C" fn body(n: *mut libc::c_void) -> *mut libc::c_void {
        std::ptr::without_provenance_mut(blocks_up_to(50 << 10, n.addr()))
    }
    let threads = [n, n + 1].map(|n| {
        let mut thread = std::mem::MaybeUninit::uninit();
        let n = std::ptr::without_provenance_mut(n);
        // SAFETY: `thread` can be written, and null means the default attributes.
        let failed =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), body, n) };
        // SAFETY: the call wrote it, unless it failed.
        (failed == 0).then(|| unsafe { thread.assume_init() })
    });
    threads.into_iter().all(|thread| {
        let mut code = std::ptr::dangling_mut();
        // SAFETY: the thread was started, and is joined once.
        thread.is_some_and(|t| unsafe { libc::pthread_join(t, &raw mut code) } == 0)
            && code.is_null()
    })
}

/// A child that has not ended after so many looks hangs. They are counted, not timed: a machine
/// that stands still meanwhile does so for one look.
const LOOKS: u64 = 600;

/// Milliseconds before a look; fewer before the first ones.
const BETWEEN: u64 = 50;

/// Waits for a child. Returns its exit code, or the negative number of the signal
/// that ended it.
fn ended(pid: i32) -> i32 {
    let mut status = 0;
    for look in 0..LOOKS {
        // SAFETY: the child is ours, and `status` can be written.
        let got = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        if got != 0 {
            assert_eq!(got, pid);
            let exited = libc::WIFEXITED(status);
            return if exited { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) };
        }
        thread::sleep(Duration::from_millis(BETWEEN.min(look)));
    }
    panic!("a child hangs:\n{}", tasks(pid));
}

/// What the tasks of a process do, as the system says it.
fn tasks(pid: i32) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let what = ["stat", "wchan", "syscall", "stack"];
    let told = tasks.flat_map(|task| {
        what.map(|it| fs::read_to_string(task.path().join(it)).unwrap_or_default())
    });
    told.map(|text| text.trim().to_owned() + "\n").collect()
}

/// Runs `forker` while other threads keep every part of the allocator busy.
fn among_busy_threads(forker: impl Fn()) {
    let stop = AtomicBool::new(false);
    let busy = AtomicUsize::new(0);
    let shared: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        // Allocates and frees its own blocks, of all sizes.
        scope.spawn(|| {
            let mut random = Random(1);
            let mut held: Vec<Block> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..200 {
                    let log = if random.below(50) == 0 { 20 } else { 12 };
                    let size = random.size(log);
                    held.extend(Block::new(&GLOBAL, size, 8));
                }
                while held.len() > 300 {
                    held.swap_remove(random.below(held.len())).free(&GLOBAL);
                }
                busy.fetch_add(1, Ordering::Relaxed);
            }
            held.into_iter().for_each(|block| block.free(&GLOBAL));
        });
        // Allocates blocks for the next thread.
        scope.spawn(|| {
            let mut random = Random(2);
            while !stop.load(Ordering::Relaxed) {
                let fresh: Vec<_> =
                    (0..500).filter_map(|_| Block::new(&GLOBAL, random.size(10), 8)).collect();
                let mut shared = shared.lock().unwrap();
                if shared.len() < 4000 {
                    shared.extend(fresh);
                } else {
                    fresh.into_iter().for_each(|block| block.free(&GLOBAL));
                }
            }
        });
        // Frees the blocks of the thread above, and purges.
        scope.spawn(|| {
            let mut rounds = 0usize;
            while !stop.load(Ordering::Relaxed) {
                let blocks = std::mem::take(&mut *shared.lock().unwrap());
                blocks.into_iter().for_each(|block| block.free(&GLOBAL));
                rounds += 1;
                if rounds.is_multiple_of(8) {
                    Strata::purge();
                }
            }
        });
        // Starts threads that allocate and end.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                thread::spawn(|| {
                    let blocks: Vec<_> =
                        (1..100).filter_map(|i| Block::new(&GLOBAL, i * 50, 8)).collect();
                    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
                })
                .join()
                .unwrap();
            }
        });
        forker();
        stop.store(true, Ordering::Relaxed);
    });
    assert!(busy.into_inner() > 0);
    shared.into_inner().unwrap().into_iter().for_each(|block| block.free(&GLOBAL));
}

/// Forks `count` times. Each child must succeed.
fn fork_often(count: usize) {
    for n in 0..count {
        let block = |i: usize| Block::new(&GLOBAL, 1 + (i * 61) % 3000, 8).unwrap();
        let inherited: Vec<_> = (0..300).map(block).collect();
        // SAFETY: the child allocates, frees, starts threads and exits.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let code = in_the_child(n, inherited);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(code) };
        }
        inherited.into_iter().for_each(|block| block.free(&GLOBAL));
        assert_eq!(ended(pid), 0, "fork {n}");
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    // The first thread reads the environment under a lock, which might be held
    // during a fork.
    thread::spawn(|| {}).join().unwrap();
    match case.as_str() {
        "one-forks" => among_busy_threads(|| fork_often(FORKS)),
        "three-fork" => among_busy_threads(|| {
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| fork_often(50));
                }
            });
        }),
        "without-cache" => {
            // A thread forks that has never allocated.
            let (send, receive) = mpsc::channel();
            extern "C" fn forks(_: *mut libc::c_void) -> *mut libc::c_void {
                // SAFETY: the child allocates, frees and exits.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    // SAFETY: plain calls: a child that hangs is killed.
                    unsafe {
                        libc::alarm(140);
                        libc::_exit(i32::from(everything(1) != 0));
                    }
                }
                std::ptr::without_provenance_mut(usize::from(ended(pid) == 0))
            }
            for _ in 0..20 {
                // SAFETY: the pointers are valid, and the thread is joined once.
                unsafe {
                    let mut thread = 0;
                    let made = libc::pthread_create(
                        &raw mut thread,
                        std::ptr::null(),
                        forks,
                        std::ptr::null_mut(),
                    );
                    assert_eq!(made, 0);
                    let mut result = std::ptr::null_mut();
                    libc::pthread_join(thread, &raw mut result);
                    send.send(result.addr()).unwrap();
                }
            }
            drop(send);
            assert!(receive.iter().all(|ok| ok == 1));
        }
        _ => panic!("{case}?"),
    }
    assert_eq!(everything(7), 0);
    common::at_end();
}

#[test]
fn children_of_a_busy_process_are_well() {
    common::succeeds("one-forks");
}

#[test]
fn several_threads_may_fork_at_once() {
    common::succeeds("three-fork");
}

#[test]
fn a_thread_without_a_cache_may_fork() {
    common::succeeds("without-cache");
}

//! A fixed program that has the allocator make each of its system calls, while a tracer lets
//! some of them fail (`tests/refused.rs`). Allocations may be refused then, and nothing else
//! may happen. Then the tracer is told to stop: everything must succeed again, and all memory
//! go back.

use std::alloc::{GlobalAlloc, Layout};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use allocator_core::Strata;

use crate::threads;
use crate::{pattern, violated};

static ALLOCATOR: Strata = Strata::new();

/// The system call that tells the tracer that calls fail no longer. There is none of that
/// number.
pub const CALM: i64 = 100_000;

/// Whether calls fail no longer.
static IS_CALM: AtomicBool = AtomicBool::new(false);

/// A block of the workload.
struct Block {
    ptr: *mut u8,
    layout: Layout,
}

// SAFETY: a block may be used by any thread that holds it.
unsafe impl Send for Block {}

/// A request was refused: that must be possible.
fn refused(layout: Layout) {
    if IS_CALM.load(Ordering::Relaxed) {
        violated!("{layout:?} was refused, though no call fails; {:?}", Strata::stats());
    }
}

impl Block {
    fn new(size: usize, align: usize, zeroed: bool) -> Option<Block> {
        let layout = Layout::from_size_align(size, align).ok()?;
        // SAFETY: the size is not 0; the block has so many bytes.
        unsafe {
            let ptr = if zeroed { ALLOCATOR.alloc_zeroed(layout) } else { ALLOCATOR.alloc(layout) };
            if ptr.is_null() {
                refused(layout);
                return None;
            }
            if zeroed && let Some(at) = pattern::first_dirty(ptr, size) {
                violated!("byte {at} of the zeroed block {ptr:p} of {layout:?} is not 0");
            }
            pattern::fill(ptr, size, size as u64);
            Some(Block { ptr, layout })
        }
    }

    /// Checks what is kept of it, at `ptr`.
    fn check(&self, ptr: *mut u8, kept: usize) {
        let size = self.layout.size();
        // SAFETY: the block has so many bytes.
        if let Some(at) = unsafe { pattern::first_wrong(ptr, kept, size, size as u64) } {
            violated!("byte {at} of the block {ptr:p} of {:?} was changed", self.layout);
        }
    }

    fn resize(&mut self, size: usize) {
        let Ok(layout) = Layout::from_size_align(size, self.layout.align()) else { return };
        // SAFETY: it is ours, and was made with its layout; the size is not 0.
        let ptr = unsafe { ALLOCATOR.realloc(self.ptr, self.layout, size) };
        if ptr.is_null() {
            refused(layout);
            return self.check(self.ptr, self.layout.size());
        }
        self.check(ptr, self.layout.size().min(size));
        // SAFETY: the block has so many bytes.
        unsafe { pattern::fill(ptr, size, size as u64) };
        (self.ptr, self.layout) = (ptr, layout);
    }

    fn free(self) {
        self.check(self.ptr, self.layout.size());
        // SAFETY: it is ours, and was made with this layout.
        unsafe { ALLOCATOR.dealloc(self.ptr, self.layout) };
    }
}

/// Blocks of these sizes, until a few in a row were refused.
fn blocks(sizes: impl IntoIterator<Item = usize>) -> Vec<Block> {
    const ENOUGH: usize = 20;
    let (mut held, mut refused) = (Vec::new(), 0);
    for size in sizes {
        match Block::new(size, 8, size % 5 == 0) {
            Some(block) => {
                held.push(block);
                refused = 0;
            }
            None => refused += 1,
        }
        if refused == ENOUGH {
            break;
        }
    }
    held
}

/// Small sizes of every class up to some KiB.
fn small(numbers: Range<usize>) -> impl Iterator<Item = usize> {
    numbers.map(|n| 8 + n * 37 % 3000)
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(Block::free);
}

/// Frees all but one in `kept`, in the order of their addresses. Returns the others.
fn thin_out(blocks: Vec<Block>, kept: usize) -> Vec<Block> {
    let mut left = Vec::new();
    for (n, block) in blocks.into_iter().enumerate() {
        if n % kept == 0 {
            left.push(block);
        } else {
            block.free();
        }
    }
    left
}

/// A block that becomes one of each kind, and is moved.
fn grow() {
    const SIZES: [usize; 12] = [
        60_000, 200_000, 900_000, 1_500_000, 9_000_000, 41_000_000, 43_000_000, 3_000_000,
        1_100_000, 100_000, 70_000_000, 10,
    ];
    let Some(mut block) = Block::new(20_000, 8, false) else { return };
    // What is behind a block that grows in place.
    let mut others = Vec::new();
    for size in SIZES {
        block.resize(size);
        others.extend(Block::new(size / 3 + 1, 8, false));
    }
    block.free();
    free(others);
}

/// Huge blocks: from each other's memory, aligned, zeroed by a purge.
fn huge() {
    free(blocks([3_000_000, 2_500_000, 40_000_000, 40_000_000, 40_000_000]));
    let aligned = Block::new(5_000_000, 16 << 20, false);
    let mut kept = blocks([2_200_000, 2_200_001, 2_200_005]);
    if kept.len() == 3 {
        kept.remove(1).free();
    }
    // More addresses than the tables have been opened for. None of it is touched.
    if let Ok(layout) = Layout::from_size_align(5 << 30, 8) {
        // SAFETY: the size is not 0; it is freed as it was made.
        unsafe {
            let ptr = ALLOCATOR.alloc(layout);
            if !ptr.is_null() {
                ALLOCATOR.dealloc(ptr, layout);
            }
        }
    }
    free(kept);
    free(Vec::from_iter(aligned));
}

/// A thread that allocates, frees what another one made, and ends with blocks in its cache.
fn threads(shared: Vec<Block>) {
    let left = Mutex::new(Vec::new());
    let (ready, told) = (Mutex::new(0), Condvar::new());
    std::thread::scope(|scope| {
        let mut shared = shared.into_iter();
        for n in 1..4 {
            let mine: Vec<Block> = shared.by_ref().take(1000).collect();
            let (left, ready, told) = (&left, &ready, &told);
            scope.spawn(move || {
                let own = blocks(small(n * 2000..n * 2000 + 3000));
                free(mine);
                Strata::thread_idle();
                left.lock().unwrap().extend(thin_out(own, 2));
                *ready.lock().unwrap() += 1;
                told.notify_all();
            });
        }
        // The threads sleep, or end, while this one draws from their spans.
        let all = told.wait_while(ready.lock().unwrap(), |ready| *ready < 3).unwrap();
        drop(all);
        free(blocks(small(0..2000)));
        shared.for_each(Block::free);
    });
    free(left.into_inner().unwrap());
}

/// The child of a fork works as well.
fn fork(held: &[Block]) {
    threads::fork("the child of a fork", || {
        held.iter().for_each(|block| block.check(block.ptr, block.layout.size()));
        let more = blocks(small(0..500).chain([100_000, 3_000_000]));
        Strata::purge();
        free(more);
    });
}

/// Everything, once. The helper gets the time to look twice.
fn round() {
    let first = blocks(small(0..9000));
    let medium = blocks((0..30).map(|n| 40_000 + n * 30_000));
    grow();
    huge();
    fork(&first);
    // Pages without live blocks between pages with some.
    let held = thin_out(first, 40);
    let medium = thin_out(medium, 4);
    threads(blocks(small(0..4000)));
    std::thread::sleep(Duration::from_millis(900));
    let _ = Strata::explain();
    free(medium);
    Strata::purge();
    fork(&held);
    free(held);
    huge();
}

/// Bytes of the process's mappings that it may write, and of its memory that is of no file.
/// Addresses that are only reserved cost nothing.
fn system_says() -> [usize; 2] {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["VmData:", "RssAnon:"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or(0_usize) << 10
    })
}

/// How long memory may take to go back.
const SOON: Duration = Duration::from_secs(5);

/// Runs all of it, and prints what is left in the end, in bytes.
pub fn run() {
    // SAFETY: ends the process if it hangs.
    unsafe { libc::alarm(60) };
    round();
    // SAFETY: there is no such call.
    unsafe { libc::syscall(CALM) };
    IS_CALM.store(true, Ordering::Relaxed);
    round();
    let begin = Instant::now();
    while Strata::stats().committed_bytes() > Strata::stats().live_bytes() && begin.elapsed() < SOON
    {
        Strata::thread_idle();
        Strata::purge();
        std::thread::sleep(Duration::from_millis(20));
    }
    let stats = Strata::stats();
    if stats.live_bytes() != 0 {
        violated!("all is freed, but {stats:?}");
    }
    let [writable, memory] = system_says();
    println!("rest {writable} {memory} {} {}", stats.mapped_bytes(), stats.committed_bytes());
}

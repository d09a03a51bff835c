//! What the first touch of memory costs: a page at a time, in pages that the kernel populates
//! 64 KiB at a time, and in huge pages. On a virtual machine that gives free pages back to its
//! host, much more, unless the pages were in use shortly before.
//!
//! ```sh
//! cargo run --release -p benches --example touch
//! ```

use std::time::Instant;

const BYTES: usize = 256 << 20;
const PAGE: usize = 4 << 10;
const HUGE: usize = 2 << 20;
const POPULATED: usize = 64 << 10;

/// Nanoseconds for each page of fresh memory, which is `prepared` first.
fn touch(prepared: impl Fn(*mut u8)) -> f64 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, which is unmapped at the end; writes stay within it.
    unsafe {
        let base = libc::mmap(std::ptr::null_mut(), BYTES + HUGE, access, kind, -1, 0);
        assert_ne!(base, libc::MAP_FAILED, "mmap");
        let start = base.cast::<u8>().map_addr(|addr| addr.next_multiple_of(HUGE));
        let begin = Instant::now();
        prepared(start);
        for at in (0..BYTES).step_by(PAGE) {
            start.add(at).write_volatile(1);
        }
        let took = begin.elapsed();
        libc::munmap(base, BYTES + HUGE);
        took.as_nanos() as f64 / (BYTES / PAGE) as f64
    }
}

fn advise(at: *mut u8, bytes: usize, advice: i32) {
    // SAFETY: the range is mapped by `touch`; the contents stay.
    assert_eq!(unsafe { libc::madvise(at.cast(), bytes, advice) }, 0, "madvise");
}

fn main() {
    let populate = |start: *mut u8| {
        for at in (0..BYTES).step_by(POPULATED) {
            advise(start.wrapping_add(at), POPULATED, libc::MADV_POPULATE_WRITE);
        }
    };
    for round in 1..=3 {
        let single = touch(|start| advise(start, BYTES, libc::MADV_NOHUGEPAGE));
        let populated = touch(populate);
        let huge = touch(|start| advise(start, BYTES, libc::MADV_HUGEPAGE));
        println!(
            "round {round}, ns for 4 KiB: {single:.0} by a page fault, {populated:.0} populated, \
             {huge:.0} in a huge page"
        );
    }
}

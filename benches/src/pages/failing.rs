//! Calls that fail because the process must not map more.

use std::ffi::c_void;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::time::Instant;

use super::run::{Run, Values};
use crate::procfs;

const CALLS: usize = 100_000;
/// What can still be mapped at first.
const ROOM: u64 = 8 << 20;
/// So many calls in a row are refused when nothing is left: an allocator may
/// find something after a few.
const REFUSED: usize = 1000;
/// Sizes that are allocated until they fail, to leave nothing.
const SIZES: [usize; 8] = [LARGE, 1 << 20, 128 << 10, 16 << 10, 4096, 1024, 256, SMALL];
const LARGE: usize = 64 << 20;
const SMALL: usize = 64;

/// The soft limit on addresses, restored when this is dropped.
struct Limit(libc::rlimit);

impl Limit {
    /// What is mapped, and this much more.
    fn new(room: u64) -> Limit {
        let mapped = procfs::mapped_bytes(std::process::id()).expect("reading status");
        let mut before = MaybeUninit::uninit();
        // SAFETY: the pointer is writable.
        let read = unsafe { libc::getrlimit(libc::RLIMIT_AS, before.as_mut_ptr()) };
        assert_eq!(read, 0, "getrlimit");
        // SAFETY: the call has written it.
        let before: libc::rlimit = unsafe { before.assume_init() };
        set(&libc::rlimit { rlim_cur: mapped + room, ..before });
        Limit(before)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        set(&self.0);
    }
}

fn set(limit: &libc::rlimit) {
    // SAFETY: a valid limit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, limit) };
    assert_eq!(set, 0, "setrlimit");
}

/// Blocks, each of which points to the one before: keeping them needs no memory.
struct Chain(*mut c_void);

impl Chain {
    /// Allocates and keeps a block, if there is one.
    fn grow(&mut self, size: usize) -> bool {
        // SAFETY: any size is allowed.
        let Some(start) = NonNull::new(black_box(unsafe { libc::malloc(size) })) else {
            return false;
        };
        // SAFETY: a new block, longer than a word.
        unsafe { start.cast().write(self.0) };
        self.0 = start.as_ptr();
        true
    }

    /// Leaves nothing for blocks of this size.
    fn exhaust(&mut self, size: usize) {
        let mut refused = 0;
        while refused < REFUSED {
            refused = if self.grow(size) { 0 } else { refused + 1 };
        }
    }

    /// Microseconds of a call that fails; none if one of a hundred did not.
    fn fail(&mut self, calls: usize, size: usize) -> Option<f64> {
        let start = Instant::now();
        let served = (0..calls).filter(|_| self.grow(size)).count();
        let elapsed = start.elapsed();
        (served * 100 < calls).then(|| elapsed.as_secs_f64() * 1e6 / calls as f64)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        while !self.0.is_null() {
            // SAFETY: its first word is what `grow` wrote.
            let before = unsafe { self.0.cast::<*mut c_void>().read() };
            // SAFETY: from `malloc`, freed once.
            unsafe { libc::free(self.0) };
            self.0 = before;
        }
    }
}

/// A large block is refused, then a small one.
pub(super) fn failing(run: &Run) -> Values {
    let calls = run.scaled(CALLS);
    let mut chain = Chain(ptr::null_mut());
    let limit = Limit::new(ROOM);
    // An allocator may have mapped more than it uses: that is used up first.
    chain.exhaust(LARGE);
    let large = chain.fail(calls, LARGE);
    for size in SIZES {
        chain.exhaust(size);
    }
    let small = chain.fail(calls, SMALL);
    drop(limit);
    drop(chain);
    vec![large, small]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// In a process of its own, as others must not fail.
    #[test]
    fn calls_fail_and_are_timed() {
        let run = Run { scale: 0.001, watch: Duration::ZERO };
        // SAFETY: the child only allocates, which glibc allows, and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let timed = failing(&run).iter().flatten().filter(|us| **us > 0.0).count();
            // SAFETY: ends the child, without what the tests do at exit.
            unsafe { libc::_exit(timed as i32) };
        }
        assert!(child > 0, "fork");
        let mut status = 0;
        // SAFETY: the pointer is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 2, "{status:x}");
    }
}

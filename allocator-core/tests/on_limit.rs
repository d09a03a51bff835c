//! What the function given to `Strata::on_limit` may do: allocate, fork, and, as far as is
//! promised, never return.

mod common;

use allocator_core::Strata;
use common::{Block, at_end};
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;

static CALLS: AtomicUsize = AtomicUsize::new(0);

fn blocks(count: usize) -> Vec<Block> {
    (0..count).map(|_| Block::new(&GLOBAL, MIB / 2, 8).unwrap()).collect()
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
}

/// Goes from below the limit to above it.
fn exceed(callback: fn(usize)) {
    Strata::on_limit(callback);
    Strata::set_limit(Strata::stats().committed_bytes() + 16 * MIB);
    let held = blocks(64);
    free(held);
    Strata::purge();
}

fn forks(_: usize) {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    // SAFETY: plain calls; the child allocates and ends.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        free(blocks(64));
        if pid == 0 {
            libc::_exit(i32::from(CALLS.load(Ordering::Relaxed) != calls));
        }
        let mut status = 1;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0, "the child called back within the callback, or failed");
    }
}

/// As one that leaves by a jump: the frames below never go on.
fn stays(_: usize) {
    assert_eq!(CALLS.fetch_add(1, Ordering::Relaxed), 0, "it was called again");
    let purged = || Strata::stats().purged_bytes();
    for _ in 0..3 {
        let before = purged();
        let held = blocks(64);
        free(held);
        Strata::set_limit(16 * MIB);
        free(blocks(8));
        assert!(purged() > before, "the limit is no longer enforced");
    }
    at_end();
    std::process::exit(0);
}

#[test]
fn child() {
    match common::case().as_deref() {
        Some("forks") => {
            exceed(forks);
            exceed(forks);
            assert_eq!(CALLS.load(Ordering::Relaxed), 2);
            at_end();
        }
        Some("stays") => exceed(stays),
        Some(case) => panic!("{case}?"),
        None => {}
    }
}

#[test]
fn it_may_fork() {
    common::succeeds("forks");
}

#[test]
fn one_that_never_returns_is_not_called_again() {
    common::succeeds("stays");
}

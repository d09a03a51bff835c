//! What the function given to `Strata::on_limit` may do: allocate, fork, and, as far as is
//! promised, never return.

mod common;

use allocator_core::{Exceeded, Strata};
use common::{Block, at_end};
use std::fmt::Write as _;
use std::sync::Mutex;
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

static TOLD: Mutex<Vec<Exceeded>> = Mutex::new(Vec::new());
static TEXT: Mutex<String> = Mutex::new(String::new());

fn told(exceeded: &Exceeded) {
    TOLD.lock().unwrap().push(*exceeded);
    write!(TEXT.lock().unwrap(), "{exceeded}").unwrap();
}

fn counted(committed: usize) {
    CALLS.store(committed, Ordering::Relaxed);
}

/// What is told beside the number.
fn tells_more() {
    TOLD.lock().unwrap().reserve(10);
    TEXT.lock().unwrap().reserve(MIB);
    Strata::on_limit_exceeded(told);
    Strata::set_hard_limit(1 << 40);
    exceed(counted);
    let (all, text) = (TOLD.lock().unwrap().clone(), TEXT.lock().unwrap().clone());
    let [Exceeded { committed_bytes, limit_bytes, hard_limit_bytes, .. }] = all[..] else {
        panic!("{all:?}")
    };
    assert!(committed_bytes > limit_bytes && limit_bytes > 16 * MIB, "{all:?}");
    assert!(committed_bytes < limit_bytes + 4 * MIB, "{all:?}");
    assert_eq!(hard_limit_bytes, 1 << 40);
    assert_eq!(CALLS.load(Ordering::Relaxed), committed_bytes);
    let first = format!(
        "the limit is {limit_bytes}, and {committed_bytes} bytes are committed; \
         the hard limit is 1099511627776\n"
    );
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("  all  ") && text.contains(" of what is not live is "), "{text}");
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
        Some("tells more") => {
            tells_more();
            at_end();
        }
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

#[test]
fn the_limits_and_the_table_are_told() {
    common::succeeds("tells more");
}

//! What is said when there is no memory for a request: by the program's function, or on standard
//! error.

mod common;

use allocator_core::{Failure, Registers, StackWords, Strata};
use common::{Block, at_end};
use std::fmt::Write as _;
use std::sync::Mutex;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

const MIB: usize = 1 << 20;
const LIMIT: usize = 32 * MIB;

static TOLD: Mutex<Vec<Failure>> = Mutex::new(Vec::new());
static TEXT: Mutex<String> = Mutex::new(String::new());

fn told(failure: &Failure) {
    TOLD.lock().unwrap().push(*failure);
    // It is not called from within itself.
    assert!(Block::new(&GLOBAL, 1 << 46, 8).is_none());
    write!(TEXT.lock().unwrap(), "{failure}").unwrap();
}

/// Takes a sample for one of this function: the core alone follows frame pointers, which the
/// code between need not have.
fn unwind(_: Registers, _: &mut StackWords, frames: &mut [usize]) -> usize {
    frames[0] = fill as *const () as usize;
    1
}

#[inline(never)]
fn fill(size: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(LIMIT / size);
    blocks.extend(std::iter::from_fn(|| Block::new(&GLOBAL, size, 8)));
    blocks
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&GLOBAL));
}

/// Each failure is told, with what is true of it.
fn tells() {
    TOLD.lock().unwrap().reserve(10);
    TEXT.lock().unwrap().reserve(MIB);
    Strata::on_failure(told);
    assert!(Strata::profile_unwinder(Some(unwind)));
    Strata::profile_start(1 << 10);
    Strata::set_hard_limit(LIMIT);
    let blocks = fill(100_000);
    let failure = *TOLD.lock().unwrap().last().unwrap();
    assert_eq!(failure.size, 100_000);
    assert_eq!(failure.hard_limit_bytes, LIMIT);
    assert!(failure.committed_bytes > LIMIT / 2 && failure.committed_bytes <= LIMIT);
    assert!(failure.is_at_hard_limit());
    free(blocks);
    let text = TEXT.lock().unwrap().clone();
    let first = "no memory for a block of 100000 bytes: the hard limit is 33554432, and ";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("live, above 32 KiB") && text.contains(" blocks: 0x"), "{text}");

    // The system's refusal is another.
    Strata::set_hard_limit(0);
    assert!(Block::new(&GLOBAL, 1 << 46, 8).is_none());
    let failure = *TOLD.lock().unwrap().last().unwrap();
    assert!(failure.size == 1 << 46 && !failure.is_at_hard_limit(), "{failure:?}");
    assert!(TEXT.lock().unwrap().contains("the system has none"));

    // Small requests, too.
    Strata::set_hard_limit(Strata::stats().committed_bytes() + 20 * MIB);
    let blocks = fill(64);
    let failure = *TOLD.lock().unwrap().last().unwrap();
    assert!(failure.size == 64 && failure.is_at_hard_limit(), "{failure:?}");
    free(blocks);
}

/// A failure is told once, when all that can be tried was tried, with the size that was requested.
fn tells_once() {
    TOLD.lock().unwrap().reserve(100);
    TEXT.lock().unwrap().reserve(4 * MIB);
    Strata::on_failure(told);
    Strata::set_hard_limit(Strata::stats().committed_bytes() + 64 * MIB);
    for size in [16 * MIB, 40 * MIB] {
        // What was freed before makes room, in hardened mode, too, which holds it back.
        for _ in 0..20 {
            Block::new(&GLOBAL, size, 8).unwrap().free(&GLOBAL);
        }
    }
    assert!(TOLD.lock().unwrap().is_empty(), "{:?}", TOLD.lock().unwrap());
    for size in [65 * MIB, 1 << 46] {
        assert!(Block::new(&GLOBAL, size, 8).is_none());
    }
    let most = Block::new(&GLOBAL, 50 * MIB, 8).unwrap();
    for size in [300_000, 100_000, 20_000, 2000] {
        let before = TOLD.lock().unwrap().len();
        free(fill(size));
        let told = TOLD.lock().unwrap();
        assert_eq!(told.len(), before + 1, "{size}: {told:?}");
        assert_eq!(told[before].size, size);
    }
    most.free(&GLOBAL);
    let sizes: Vec<_> = TOLD.lock().unwrap().iter().map(|failure| failure.size).collect();
    // The callback of each tries another.
    assert_eq!(sizes, [65 * MIB, 1 << 46, 300_000, 100_000, 20_000, 2000]);
}

/// Nobody asked: the first refusal by the hard limit is reported, and no other.
fn reports() {
    assert!(Block::new(&GLOBAL, 1 << 46, 8).is_none());
    eprintln!("the limit is set");
    Strata::set_hard_limit(LIMIT);
    free(fill(100_000));
    eprintln!("the limit was reached");
    free(fill(100_000));
}

#[test]
fn child() {
    match common::case().as_deref() {
        Some("tells") => tells(),
        Some("tells once") => tells_once(),
        Some("reports") => reports(),
        Some(case) => panic!("{case}?"),
        None => return,
    }
    at_end();
}

#[test]
fn the_program_is_told_of_each_failure() {
    common::succeeds("tells");
}

#[test]
fn a_failure_is_told_once_and_not_too_early() {
    common::succeeds("tells once");
}

#[test]
fn the_hard_limit_is_reported_once() {
    let output = common::command("reports").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    common::check_success("reports", output.into());
    let (before, after) = said.split_once("the limit is set\n").unwrap();
    assert!(!before.contains("no memory"), "{said}");
    let (report, after) = after.split_once("the limit was reached\n").unwrap();
    assert!(report.starts_with("strata: no memory for a block of 100000 bytes: the hard limit is"));
    assert!(report.contains("  all  ") && !after.contains("strata:"), "{said}");
}

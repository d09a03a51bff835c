//! What is noticed of each misuse, of blocks with layouts, is what `docs/misuse.md` says;
//! with the feature `hardened`, what `docs/hardened.md` says.

mod common;

use allocator_core::Strata;
use common::layout;
use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;
use std::thread;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// The page with the table.
#[cfg(not(feature = "hardened"))]
const PAGE: &str = "../docs/misuse.md";
#[cfg(feature = "hardened")]
const PAGE: &str = "../docs/hardened.md";

/// The rows of the table: what they say, and the kind of misuse.
const ROWS: [(&str, &str); 12] = [
    ("freed twice in a row", "twice"),
    ("freed twice, another block of the size between", "twice-with-another-between"),
    ("freed again by another thread", "twice-in-two-threads"),
    ("freed again when it has a new user", "twice-after-reuse"),
    ("freed with the pointer plus 1", "plus-1"),
    ("freed with the pointer plus 16", "plus-16"),
    ("a pointer to the stack", "stack"),
    ("a pointer to a global variable", "global"),
    ("freed with the layout of another size", "size"),
    ("freed with another layout of the same size class", "same-class"),
    ("written beyond its end", "overflow"),
    ("written after it was freed", "use-after-free"),
];

const COLUMNS: [[&str; 2]; 4] =
    [["small", "cold"], ["small", "warm"], ["medium", "warm"], ["huge", "warm"]];

static STATIC: [u64; 32] = [1; 32];

fn block(layout: Layout) -> *mut u8 {
    // SAFETY: the size is not 0.
    black_box(unsafe { alloc(layout) })
}

fn free(ptr: *mut u8, layout: Layout) {
    // SAFETY: the block is the caller's, or this is the misuse.
    unsafe { dealloc(black_box(ptr), layout) };
}

/// Allocates and frees enough blocks that magazines are flushed.
fn flush(layout: Layout) {
    let many = if layout.size() > 32 << 10 { 50 } else { 20_000 };
    let blocks: Vec<_> = (0..many).map(|_| block(layout)).collect();
    blocks.into_iter().for_each(|ptr| free(ptr, layout));
    Strata::purge();
}

fn commit(kind: &str, own: Layout) {
    let (ptr, other) = (block(own), block(own));
    let size = own.size();
    match kind {
        "twice" => {
            free(ptr, own);
            free(ptr, own);
        }
        "twice-with-another-between" => {
            free(ptr, own);
            free(other, own);
            free(ptr, own);
        }
        "twice-in-two-threads" => {
            let freed = common::Block { ptr, layout: own };
            free(ptr, own);
            thread::spawn(move || freed.free(&GLOBAL)).join().unwrap();
        }
        "twice-after-reuse" => {
            free(ptr, own);
            black_box(block(own));
            free(ptr, own);
        }
        "plus-1" => free(ptr.wrapping_add(1), own),
        "plus-16" => free(ptr.wrapping_add(16), own),
        "stack" => {
            let words = black_box([0u64; 8]);
            free(words.as_ptr().cast_mut().cast(), own);
        }
        "global" => free(STATIC.as_ptr().cast_mut().cast(), own),
        "size" => free(ptr, layout(2 * size + 4096, own.align())),
        "same-class" => free(ptr, layout(size - 1, own.align())),
        "overflow" => {
            // SAFETY: none: this is the misuse.
            unsafe { black_box(ptr).add(size.next_multiple_of(4096) & !15).write_bytes(1, 16) };
            free(ptr, own);
        }
        "use-after-free" => {
            free(ptr, own);
            // SAFETY: none: this is the misuse.
            unsafe { black_box(ptr).write_bytes(1, 64) };
        }
        _ => panic!("{kind}?"),
    }
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    let words: Vec<&str> = case.split(' ').collect();
    let [kind, size, warmth] = words[..] else { panic!("{case}?") };
    let own = match size {
        "small" => layout(100, 8),
        "medium" => layout(200_000, 8),
        "huge" => layout(5 << 20, 8),
        _ => panic!("{case}?"),
    };
    if warmth == "warm" {
        flush(own);
        // The magazine is neither empty nor full.
        for _ in 0..10 {
            let blocks: Vec<_> = (0..50).map(|_| block(own)).collect();
            blocks.into_iter().for_each(|ptr| free(ptr, own));
        }
        (0..10).for_each(|_| _ = black_box(block(own)));
    }
    commit(kind, own);
    println!("the call returned");
    flush(own);
    thread::spawn(move || flush(own)).join().unwrap();
    common::at_end();
}

/// Commits a misuse, and tells when it was noticed.
fn noticed(kind: &str, [size, warmth]: [&str; 2]) -> &'static str {
    let ended = common::run(&format!("{kind} {size} {warmth}"));
    let returned = ended.out.contains("the call returned");
    match ended.signal {
        Some(libc::SIGABRT) if returned => "later",
        Some(libc::SIGABRT) => "at once",
        Some(libc::SIGSEGV) => "a fault",
        None if ended.out.contains("end of the case") => "no",
        _ => panic!("{kind} {size} {warmth}: {:?}\n{}\n{}", ended.signal, ended.out, ended.err),
    }
}

#[test]
fn the_table_is_true() {
    let mut table = String::new();
    for (text, kind) in ROWS {
        let cells = COLUMNS.map(|column| noticed(kind, column));
        table += &format!("| {text} | {} |\n", cells.join(" | "));
    }
    let text = std::fs::read_to_string(PAGE).unwrap();
    assert!(text.contains(&table), "{PAGE} does not have this table:\n{table}");
}

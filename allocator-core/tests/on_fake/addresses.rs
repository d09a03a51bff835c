//! Where memory lies: between guards, in a small window, on larger pages.

use crate::background::helper;
use crate::common::Block;
use crate::failures::zero_without_purging;
use crate::pages::{metadata, tables};
use crate::process::unload;
use crate::sys::{self, Call};
use crate::workload::{ALLOC, SLACK, all_is_well, at_rest, warm_up, workload};

/// All metadata lies between guards.
pub(crate) fn guards_around_metadata() {
    warm_up();
    let is_guard =
        |at: usize| sys::state_of(std::ptr::without_provenance(at)) == Some(sys::State::Reserved);
    let committed = |at: usize| {
        let state = sys::state_of(std::ptr::without_provenance(at));
        matches!(state, Some(sys::State::Committed | sys::State::Purged))
    };
    let mut seen = 0;
    for size in [64, 512, 4096, 16 << 10] {
        let slot = metadata::alloc(size).unwrap();
        let at = slot.as_ptr().addr() & !4095;
        let (mut low, mut high) = (at, at);
        while committed(low) {
            low -= 4096;
        }
        while committed(high) {
            high += 4096;
        }
        for page in 0..16 {
            assert!(is_guard(low - page * 4096), "below");
            assert!(is_guard(high + page * 4096), "above");
        }
        seen += 1;
        // SAFETY: just got, with this size.
        unsafe { metadata::free(slot, size) };
    }
    assert_eq!(seen, 4);
}

/// What is mapped at the start is little, and the tables grow with the heap: its addresses
/// have no end but the system's.
pub(crate) fn small_tables() {
    const BLOCK: usize = 2 << 30;
    warm_up();
    let before = at_rest();
    assert!(before < 16 << 20, "{before} bytes");
    // More than 1 TiB, untouched.
    let blocks: Vec<Block> =
        (0..600).map(|n| Block::new(&ALLOC, BLOCK, 8).unwrap_or_else(|| panic!("{n}"))).collect();
    all_is_well(1);
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
    let tables = at_rest() - before;
    assert!(tables < 600 << 20, "{tables} bytes of tables for 1.2 TiB");
}

/// Others have mappings where the heap would grow to: one of 1 TiB, or many with holes
/// between them that are too small.
pub(crate) fn mappings_of_others(many: bool) {
    const GIB: usize = 1 << 30;
    warm_up();
    helper::purge_all();
    let first = Block::new(&ALLOC, 4 << 20, 8).unwrap();
    let from = (first.ptr.addr() + 1).next_multiple_of(GIB);
    let (count, size, step) = if many { (1000, GIB / 2, GIB) } else { (1, 1 << 40, 0) };
    let foreign = |at: usize| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let at = std::ptr::without_provenance_mut(at);
        let flags = flags | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping, which replaces none.
        let got = unsafe { libc::mmap(at, size, libc::PROT_NONE, flags, -1, 0) };
        assert_eq!(got, at);
    };
    (0..count).for_each(|n| foreign(from + n * step));
    // 1 GiB each: they do not fit between those of others.
    let calls = sys::calls(Call::MapAt);
    let blocks: Vec<Block> = (0..200)
        .map(|n| Block::new(&ALLOC, GIB, 8).unwrap_or_else(|| panic!("after {n} GiB")))
        .collect();
    assert!(sys::calls(Call::MapAt) - calls < 2000, "{}", sys::calls(Call::MapAt) - calls);
    all_is_well(1);
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
    first.free(&ALLOC);
}

/// Others have a mapping where the tables would grow to: the heap ends before it, and theirs
/// stays theirs, in the child of a fork, too.
pub(crate) fn others_in_the_area() {
    const GIB: usize = 1 << 30;
    const SIZE: usize = 64 << 10;
    warm_up();
    let entries = tables::all()[0];
    let at = entries.start().wrapping_add(entries.opened()).cast();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping, which replaces none.
    assert_eq!(unsafe { libc::mmap(at, SIZE, access, flags, -1, 0) }, at);
    // So that something is left when as many as fit are made.
    let stays = Block::new(&ALLOC, 4 << 20, 8).unwrap();
    let fill = || -> Vec<Block> { (0..8).map_while(|_| Block::new(&ALLOC, GIB, 8)).collect() };
    for _ in 0..2 {
        let blocks = fill();
        assert!((1..8).contains(&blocks.len()), "{} blocks", blocks.len());
        all_is_well(1);
        blocks.into_iter().for_each(|block| block.free(&ALLOC));
        tables::after_fork();
    }
    stays.free(&ALLOC);
    // SAFETY: mapped above.
    let theirs = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), SIZE) };
    assert!(theirs.iter().all(|byte| *byte == 0));
    // SAFETY: likewise.
    assert_eq!(unsafe { libc::munmap(at, SIZE) }, 0);
    let blocks = fill();
    assert_eq!(blocks.len(), 8);
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
}

/// The kernel gives a program this many bits of addresses, in pages of this size.
pub(crate) fn few_address_bits(bits: u32, page: usize) {
    const BLOCK: usize = 4 << 30;
    sys::set_address_bits(Some(bits));
    sys::set_page_size(Some(page));
    warm_up();
    // The rest is for tables, and what does not fit between them.
    let count = ((1 << bits) / 4 * 3 / BLOCK).min(96);
    let blocks: Vec<Block> = (0..count)
        .map(|n| Block::new(&ALLOC, BLOCK, 8).unwrap_or_else(|| panic!("{n} of {count}")))
        .collect();
    assert!(blocks.iter().all(|block| block.ptr.addr() + BLOCK <= 1 << bits));
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
    let tables = at_rest();
    eprintln!("{bits} bits: {tables} bytes mapped at rest");
    for k in 1..6 {
        sys::fail_any_nth(k, 1);
        workload(k);
        all_is_well(k);
    }
    assert!(at_rest() <= tables + SLACK);
}

/// At an unload all is released but the chunks of live blocks.
pub(crate) fn released(live: usize) {
    warm_up();
    // Threads that are still there, with caches.
    let gate = std::sync::Barrier::new(5);
    let blocks = |count: usize| -> Vec<Block> {
        (0..count).map(|n| Block::new(&ALLOC, 24 + n * 8, 8).unwrap()).collect()
    };
    let kept = blocks(live);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                blocks(3000).into_iter().for_each(|block| block.free(&ALLOC));
                gate.wait();
                gate.wait();
            });
        }
        gate.wait();
        unload::quiesce();
        // SAFETY: no thread allocates or frees from here on.
        unsafe { unload::release() };
        let left = sys::mapped_bytes();
        assert!(if live == 0 { left == 0 } else { left <= live * (2 << 20) }, "{left} bytes");
        for block in &kept {
            // SAFETY: the block is ours, and was written when it was made.
            let ends = unsafe { (*block.ptr, *block.ptr.add(block.layout.size() - 1)) };
            assert_eq!(ends, (1, 2));
        }
        gate.wait();
    });
}

/// The system's pages are larger.
pub(crate) fn large_pages(bytes: usize) {
    sys::set_page_size(Some(bytes));
    warm_up();
    let before = at_rest();
    for k in 1..60 {
        sys::fail_any_nth(k, 1);
        workload(k);
        all_is_well(k);
    }
    zero_without_purging();
    eprintln!("{before} to {} mapped", at_rest());
}

//! Where memory lies: between guards, in a small window, on larger pages.

use crate::common::Block;
use crate::failures::zero_without_purging;
use crate::pages::{address_space, metadata};
use crate::process::unload;
use crate::strata::Strata;
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

/// An address limit leads to a small window, which can become smaller still.
pub(crate) fn small_window() {
    sys::set_address_limit(Some(200 << 20));
    warm_up();
    let before = at_rest();
    assert!(before < 64 << 20, "{before} bytes for a window of 512 MiB");
    let mut blocks = Vec::new();
    while let Some(block) = Block::new(&ALLOC, 30 << 20, 8) {
        blocks.push(block);
    }
    eprintln!("{} blocks", blocks.len());
    assert!(blocks.len() >= 8);
    assert!(Block::new(&ALLOC, 2 << 30, 8).is_none());
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
    all_is_well(1);
    assert!(at_rest() <= before + SLACK);
}

/// The kernel gives a program this many bits of addresses, in pages of this size.
pub(crate) fn few_address_bits(bits: u32, page: usize) {
    const GIB: usize = 1 << 30;
    sys::set_address_bits(Some(bits));
    sys::set_page_size(Some(page));
    warm_up();
    let tables = at_rest();
    eprintln!("{bits} bits: {tables} bytes mapped at rest");
    // An eighth of the addresses can be used for blocks, up to a part of the window.
    let gibs = ((1 << bits) / 8 / GIB).min(96) - 1;
    let blocks: Vec<Block> = (0..gibs)
        .map(|gib| Block::new(&ALLOC, GIB, 8).unwrap_or_else(|| panic!("{gib} GiB")))
        .collect();
    assert!(blocks.iter().all(|block| block.ptr.addr() + GIB <= 1 << bits));
    blocks.into_iter().for_each(|block| block.free(&ALLOC));
    for k in 1..10 {
        sys::fail_any_nth(k, 1);
        workload(k);
        all_is_well(k);
    }
    assert!(at_rest() <= tables + SLACK);
}

/// At an unload all is released but the chunks of live blocks; with a limit on
/// addresses, which ended the window early, too.
pub(crate) fn released(limited: bool, live: usize) {
    if limited {
        sys::set_address_limit(Some(2 << 30));
    }
    warm_up();
    if limited {
        // What the system refuses ends the window.
        Strata::purge();
        sys::fail_nth(Call::MapAt, 1, u64::MAX);
        assert!(Block::new(&ALLOC, 30 << 20, 8).is_none());
        sys::clear_failures();
        assert!(!address_space::outside().is_empty());
    }
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

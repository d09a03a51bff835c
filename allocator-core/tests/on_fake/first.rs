//! The first request of a process, whatever it is, and of several threads at once.

use std::alloc::GlobalAlloc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{self, Block, fill, is_filled, is_zero, layout};
use crate::strata::Strata;
use crate::workload::{ALLOC, all_is_well};

/// What may be the first request of a process.
pub(crate) const REQUESTS: [&str; 11] = [
    "small",
    "medium",
    "huge",
    "aligned",
    "aligned-huge",
    "zeroed",
    "zeroed-huge",
    "refused",
    "purge",
    "stats",
    "thread-idle",
];

/// Makes a request, which is served, and frees what it got.
fn request(name: &str) {
    let served =
        |size, align| Block::new(&ALLOC, size, align).expect("there is memory").free(&ALLOC);
    let zeroed = |size| {
        let layout = layout(size, 8);
        // SAFETY: the size is not 0; the block is ours and that large.
        unsafe {
            let block = ALLOC.alloc_zeroed(layout);
            assert!(!block.is_null() && is_zero(block, size));
            ALLOC.dealloc(block, layout);
        }
    };
    match name {
        "small" => served(100, 8),
        "medium" => served(200 << 10, 8),
        "huge" => served(5 << 20, 8),
        "aligned" => served(100, 4096),
        "aligned-huge" => served(100, 8 << 20),
        "zeroed" => zeroed(1000),
        "zeroed-huge" => zeroed(3 << 20),
        "refused" => assert!(Block::new(&ALLOC, isize::MAX as usize - 64, 8).is_none()),
        "purge" => assert_eq!(Strata::purge(), 0),
        "stats" => assert_eq!(Strata::stats().live_bytes(), 0),
        "thread-idle" => Strata::thread_idle(),
        _ => panic!("{name}?"),
    }
}

pub(crate) fn alone(name: &str) {
    request(name);
    all_is_well(1);
}

/// No thread sees the allocator half set up, and no block is handed out twice.
pub(crate) fn at_once() {
    const THREADS: usize = 4;
    let (here, all_filled) = (AtomicUsize::new(0), Barrier::new(THREADS));
    common::in_threads((0..THREADS).map(|n| {
        let (here, all_filled) = (&here, &all_filled);
        move || {
            let size = [24, 24, 1000, 200 << 10][n];
            here.fetch_add(1, Ordering::SeqCst);
            // No sleep, so that they start as close together as there are processors.
            while here.load(Ordering::SeqCst) < THREADS {
                std::hint::spin_loop();
            }
            let block = Block::new(&ALLOC, size, 8).expect("there is memory");
            // SAFETY: the block is ours and that large.
            unsafe { fill(block.ptr, size, n as u64) };
            all_filled.wait();
            // SAFETY: likewise.
            assert!(unsafe { is_filled(block.ptr, size, n as u64) }, "{n}");
            block.free(&ALLOC);
        }
    }));
    all_is_well(1);
}

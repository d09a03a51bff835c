//! Caches of threads that end.

use std::sync::Barrier;
use std::thread;

use super::{ALLOC, all_is_well, warm_up};
use crate::common::Block;
use crate::thread::registry;

/// Whoever looks through the threads may be slower than a thread that ends and the purge
/// of its cache: the heap stays, and the cache reads as anything.
pub(super) fn end_meanwhile() {
    warm_up();
    let (began, end) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            Block::new(&ALLOC, 100, 8).unwrap().free(&ALLOC);
            began.wait();
            end.wait();
        });
        began.wait();
        let seen: Vec<_> = registry::threads().collect();
        assert!(!seen.is_empty());
        end.wait();
        other.join().unwrap();
        registry::end_spares(true);
        assert!(registry::purge() != 0, "no cache was purged");
        for (heap, cache) in seen {
            heap.observe_idle(0);
            cache.request_flush();
            assert!(cache.cached(3) <= 8191);
        }
    });
    all_is_well(1);
}

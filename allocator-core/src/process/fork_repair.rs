//! In the child of a fork: makes again what vanished threads were changing. Spans, lengths of
//! runs and granules tell what is in use, in words that are valid after every single store.
//! Lists and counters follow from them.
//!
//! If the thread that forked is in a slow path itself, which a signal interrupted, only the
//! lists of orphaned heaps and runs are made again: what is on its way may be that thread's.

use core::ptr::NonNull;

use crate::base::bits;
use crate::base::geometry::{CHUNK_GRANULES, GRANULE, UNIT};
use crate::base::nested;
use crate::base::size_class::{self, SHAPES};
use crate::base::sync;
use crate::guarded::block;
use crate::heaps::heap_table;
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::freed_huge;
use crate::pages::helped;
use crate::pages::huge_block;
use crate::pages::orphaned_runs::RunBytes;
use crate::pages::usage::{self, Recount};
use crate::spans::page_map::{self, Chunk, MAP};
use crate::spans::span::{Body, DetachedSpans, List, NO_HEAP, Span};
use crate::thread::inside;
use crate::thread::registry;
use crate::thread::slow_path;

/// Repairs what vanished threads left. The orphaned locks of all else are free.
pub(crate) fn run() {
    nested::after_fork();
    registry::free_orphaned_lock();
    registry::forget_hooks();
    // An interrupted slow path most likely has the thread's cache.
    helped::after_fork(registry::current().is_some() || slow_path::is_inside());
    let whole = !inside::is_this_thread();
    let (mut needed, mut unreported) = (false, 0);
    if whole {
        let found = registry::after_fork();
        needed = inside::take_vanished() | found.inside;
        unreported = found.unreported;
    } else {
        registry::keep_vanished();
    }
    let heaps = || arena::all().iter().map(|arena| &arena.heap).chain(registry::heaps());
    for heap in heaps().filter(|heap| heap.is_orphaned()) {
        if sync::step("fork_forgets_lists") {
            heap.forget_spans();
        }
        needed = true;
    }
    for runs in arena::all().iter().map(|arena| &arena.page_runs).filter(|runs| runs.is_orphaned())
    {
        runs.forget_chunks();
        needed = true;
    }
    if !needed {
        return;
    }
    let mut repair = Repair { whole, counts: Recount::default(), empty: DetachedSpans::new() };
    if whole {
        freed_huge::forget_standby();
    }
    let mut huge = (0, 0);
    let (mut at, end) = (0, MAP.used_chunks());
    while let Some(index) = address_space::in_use(at, end).next() {
        at = index + repair.chunk(index, &mut huge);
    }
    heaps().filter(|heap| heap.is_orphaned()).for_each(|heap| heap.free_orphaned_lock());
    for runs in arena::all().iter().map(|arena| &arena.page_runs).filter(|runs| runs.is_orphaned())
    {
        runs.free_orphaned_lock();
    }
    if whole {
        repair.counts.dirty += address_space::spares().map(|(_, memory)| memory).sum::<usize>();
        repair.counts.large += huge.1 + block::repair();
        repair.counts.out = repair.counts.out.wrapping_sub(unreported.cast_unsigned());
        usage::set(&repair.counts);
        freed_huge::set_held(huge.0, huge.1);
    }
    arena::release_spans(repair.empty);
}

struct Repair {
    /// Whether the thread that forked is in no slow path.
    whole: bool,
    counts: Recount,
    /// Spans without a live block.
    empty: DetachedSpans,
}

impl Repair {
    /// Repairs what is in a chunk, and counts it. Returns how many chunks it is.
    fn chunk(&mut self, index: usize, huge: &mut (usize, usize)) -> usize {
        let chunk = MAP.chunk(index);
        if arena::has_spans(chunk) {
            self.spans(index, chunk);
            return 1;
        }
        let entry = MAP.entry(MAP.chunk_base(index));
        let owner = page_map::owner(entry);
        match page_map::kind(entry) {
            page_map::MEDIUM => {
                if let Some(arena) = arena::by_id(owner) {
                    // A vanished thread may have been about to add the chunk, or to take it off.
                    MAP.set_all(MAP.chunk_base(index), CHUNK_GRANULES, entry);
                    let all = arena.page_runs.is_orphaned();
                    let RunBytes { used, dirty } = arena.page_runs.relist(index, all, self.whole);
                    self.counts.large += used;
                    self.counts.dirty += dirty;
                }
                1
            }
            page_map::HUGE if owner != NO_HEAP => {
                if !self.whole {
                    return huge_block::extent(index).1.max(1);
                }
                let block = huge_block::repair(index);
                huge.0 += block.blocks;
                huge.1 += block.bytes;
                self.counts.dirty += block.dirty;
                block.chunks
            }
            _ => 1,
        }
    }

    fn spans(&mut self, index: usize, chunk: &Chunk) {
        let mut covered = chunk.granules.free_hint();
        for granule in bits::ones(!covered) {
            let Some(span) = chunk.span_from(granule) else { continue };
            // SAFETY: [CHUNK-SPANS] span records are never freed.
            let heap = unsafe { span.as_ref() }.heap();
            if heap != NO_HEAP {
                covered |= self.span(span, heap, granule);
            }
        }
        let dirty = chunk.granules.dirty_hint();
        self.counts.dirty += dirty.count_ones() as usize * GRANULE;
        if self.whole {
            arena::mark_again(index, chunk);
        }
        // Nobody has these: a vanished thread was making a span of them, or purging them.
        let lost = !covered;
        if self.whole && lost != 0 {
            for (first, len) in bits::runs(|_| lost, CHUNK_GRANULES) {
                MAP.set(MAP.chunk_base(index).wrapping_add(first * GRANULE), len, 0);
            }
            arena::give_back(index, lost, lost);
            self.counts.dirty += (lost & !dirty).count_ones() as usize * GRANULE;
        }
    }

    /// Repairs a span in use, and counts it. Returns its granules.
    fn span(&mut self, span: NonNull<Span>, id: u32, granule: usize) -> u64 {
        // SAFETY: [CHUNK-SPANS] span records are never freed.
        let span_ref = unsafe { span.as_ref() };
        // SAFETY: [HEAP-LOCKED] no other thread runs.
        let (list, class) = unsafe { span_ref.body(|body| (body.list, body.class as usize)) };
        if let Some(heap) = heap_table::get(id) {
            let detached = list == List::Detached;
            let relist =
                if heap.is_orphaned() { self.whole || !detached } else { self.whole && detached };
            if relist {
                // SAFETY: [HEAP-LOCKED] likewise; the span is on no list.
                unsafe {
                    if let Some(span) = heap.relist(span) {
                        self.empty.push(span);
                    }
                }
            }
        }
        // SAFETY: [HEAP-LOCKED] likewise.
        let (free, holes) = unsafe {
            span_ref.body(|body: &mut Body| {
                // Entries are written before the heap.
                if self.whole && page_map::owner(MAP.entry(body.base)) != id {
                    page_map::publish_owner(body, id);
                }
                (body.free as usize, body.holes())
            })
        };
        let shape = &SHAPES[class];
        self.counts.spans += shape.granules as usize * GRANULE;
        self.counts.out = self
            .counts
            .out
            .wrapping_add((shape.blocks as usize).saturating_sub(free) * size_class::size(class));
        self.counts.holes += holes.count_ones() as usize * UNIT;
        bits::mask(granule, shape.granules as usize)
    }
}

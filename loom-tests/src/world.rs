//! What a model's threads share: heaps, one chunk with its spans, and the data of the
//! blocks. Created for every execution.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use loom::thread::{self, JoinHandle};

use crate::base::bits;
use crate::base::geometry::{CACHE_BYTES, GRANULE, GRANULE_SHIFT, GRANULE_UNITS, SPAN_GRANULES};
use crate::base::ordering;
use crate::base::size_class::{CLASSES, SHAPES};
use crate::base::sync::Guarded;
use crate::current::Current;
use crate::door;
use crate::heaps::heap::{self, Heap};
use crate::heaps::heap_table;
use crate::pages::arena;
use crate::pages::free_space_index::LENGTHS;
use crate::pages::metadata::{self, Metadata};
use crate::pages::tables::{self, Tables};
use crate::pages::usage;
use crate::remote::span_transfer::SpanPurge;
use crate::spans::page_map::{self, BASE, Chunk};
use crate::spans::span::{NO_HEAP, Span};
use crate::sys;
use crate::thread::cache::Cache;

/// The class of all blocks: the largest, of which a span has the fewest.
pub(crate) const CLASS: usize = CLASSES - 1;
/// Blocks of a span of that class.
pub(crate) const SPAN_BLOCKS: usize = 8;
/// Spans of the chunk that the models use.
const SPANS: usize = 2;
const HEAPS: u32 = 3;

pub(crate) struct World {
    /// Ids 1, 2, 3.
    pub(crate) heaps: Vec<Heap>,
    pub(crate) chunk: Chunk,
    /// What was written to each granule; 0: it was purged.
    data: Vec<Guarded<u32>>,
    /// A bit for each granule that the system refuses to purge.
    refused: Cell<u64>,
    tables: Tables,
    metadata: Metadata,
}

thread_local! {
    static WORLD: Current<World> = const { Current::none() };
}

/// Runs `f` in a new world, in which `free` granules of the chunk are free.
pub(crate) fn with<R>(free: u64, f: impl FnOnce(&'static World) -> R) -> R {
    assert_eq!(SHAPES[CLASS].granules as usize, SPAN_GRANULES);
    assert_eq!(SHAPES[CLASS].blocks as usize, SPAN_BLOCKS);
    let world = Box::new(World {
        heaps: (1..=HEAPS).map(Heap::new).collect(),
        chunk: Chunk::new(SPANS),
        data: (0..SPANS * SPAN_GRANULES).map(|_| Guarded::new(0)).collect(),
        refused: Cell::new(0),
        tables: Tables::new(LENGTHS),
        metadata: Metadata::default(),
    });
    WORLD.with(|current| current.set(&*world));
    page_map::set(&world.chunk);
    tables::set(&world.tables);
    metadata::set(&world.metadata);
    let this = WORLD.with(Current::get);
    sys::begin(purge);
    arena::begin();
    usage::look_from(0);
    this.heaps.iter().for_each(heap_table::publish);
    if free != 0 {
        arena::give_back(0, free, 0);
    }
    f(this)
}

/// As the system purges some granules, or the place of a cache. Returns whether it did.
fn purge(at: *mut u8, bytes: usize) -> bool {
    let world = WORLD.with(Current::get);
    if bytes == CACHE_BYTES {
        // SAFETY: it is the place of a cache, which was made.
        unsafe { &*at.cast::<Cache>() }.purged();
        return true;
    }
    let first = (at.addr() - BASE) / GRANULE;
    if world.refused.get() & bits::mask(first, bytes / GRANULE) != 0 {
        return false;
    }
    for granule in first..(first + bytes / GRANULE).min(world.data.len()) {
        // SAFETY: loom reports a thread that uses it at the same time.
        world.data[granule].with(|data| unsafe { *data = 0 });
    }
    true
}

/// Starts a thread of a model.
pub(crate) fn spawn<R: 'static>(f: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    door::spawned();
    thread::spawn(f)
}

/// Blocks that a thread holds.
pub(crate) type Blocks = Vec<*mut u8>;

impl World {
    /// The heap of an id.
    pub(crate) fn heap(&self, id: u32) -> &Heap {
        &self.heaps[id as usize - 1]
    }

    /// Makes span `index`, whose granules the caller has claimed, a span of `heap`.
    pub(crate) fn found(&self, index: usize, heap: u32) -> NonNull<Span> {
        let span = NonNull::from(&self.chunk.spans[index]);
        let base = BASE + index * SPAN_GRANULES * GRANULE;
        // SAFETY: the granules are the caller's; the bitmap is short.
        unsafe {
            heap::init_span(span, CLASS, ptr::without_provenance_mut(base), ptr::null_mut(), heap);
        }
        span
    }

    /// As [`found`](Self::found), then puts the span on the heap's list and takes
    /// `count` blocks.
    pub(crate) fn furnish(&self, index: usize, heap: u32, count: usize) -> Blocks {
        self.adopt(self.found(index, heap), heap, count)
    }

    /// Puts a new span on the list of its heap, and takes `count` blocks.
    pub(crate) fn adopt(&self, span: NonNull<Span>, heap: u32, count: usize) -> Blocks {
        let mut locked = self.heap(heap).lock().unwrap();
        // SAFETY: the span names this heap.
        unsafe { locked.adopt(span) };
        assert!(locked.unlock().is_empty());
        take(self.heap(heap), count)
    }

    /// Has the system refuse to purge these granules.
    pub(crate) fn refuse(&self, granules: u64) {
        self.refused.set(granules);
    }

    /// Whether a granule was written since it was purged. Nobody uses it.
    pub(crate) fn is_written(&self, granule: usize) -> bool {
        // SAFETY: loom reports a thread that uses it at the same time.
        self.data[granule].with(|data| unsafe { *data != 0 })
    }

    /// Uses a block. No other thread may use it at the same time.
    pub(crate) fn touch(&self, block: *mut u8) {
        let index = (block.addr() - BASE) >> GRANULE_SHIFT;
        // SAFETY: loom reports a thread that uses the block at the same time.
        self.data[index].with(|data| unsafe { *data += 1 });
    }

    /// When no other thread runs: checks that the holes of a span are what was purged,
    /// except for the units of one block that may have been taken there.
    pub(crate) fn check_holes(&self, index: usize, given: SpanPurge, out: &[*mut u8]) {
        // SAFETY: no other thread runs.
        let holes = unsafe { self.chunk.spans[index].body(|body| body.holes()) };
        let units = GRANULE_UNITS;
        for block in out {
            let first = (block.addr() - BASE) / GRANULE % SPAN_BLOCKS * units;
            assert_eq!(holes >> first & ((1 << units) - 1), 0, "a hole under a block");
        }
        let most = if let SpanPurge::Units(units) = given { units } else { 0 };
        let held = holes.count_ones() as usize;
        assert!(held == most || held + units == most, "{held} holes of {most}");
    }

    /// At the end, when no other thread runs: drains all heaps, and checks that every
    /// span in use is on a list of the heap that it names, that its entry names the
    /// same heap, and that all its blocks but `out` are free. Returns the heaps of the
    /// spans; 0 for a span that is not in use.
    pub(crate) fn settle(&self, out: [usize; SPANS]) -> [u32; SPANS] {
        for heap in &self.heaps {
            let mut locked = heap.lock().unwrap();
            let batches = locked.drain();
            arena::release_spans(locked.unlock());
            crate::remote::send::BatchPool::new().recycle(batches);
        }
        core::array::from_fn(|index| {
            let span = &self.chunk.spans[index];
            let heap = span.heap();
            let entry = self.chunk.entries[index].load(ordering::map_entry());
            assert_eq!(page_map::owner(entry), heap, "the entry is a copy of the span's heap");
            if heap == NO_HEAP {
                assert_eq!(out[index], 0, "blocks are out of a span that is not in use");
                return NO_HEAP;
            }
            let mut all = take(self.heap(heap), SPANS * SPAN_BLOCKS);
            let is_here = |block: &&*mut u8| ptr::eq(page_map::span_of(**block).as_ptr(), span);
            let here = all.iter().filter(is_here).inspect(|block| self.touch(**block)).count();
            assert_eq!(here + out[index], SPAN_BLOCKS, "every block is in one place");
            put(self.heap(heap), &mut all);
            heap
        })
    }
}

/// Takes up to `count` blocks from a heap.
pub(crate) fn take(heap: &Heap, count: usize) -> Blocks {
    let mut slots = vec![ptr::null_mut(); count];
    // SAFETY: there are `count` slots below the end.
    let got = unsafe {
        crate::remote::take_from_heap::take(heap, None, CLASS, slots.as_mut_ptr_range().end, count)
            .expect("no handler interrupts anything")
    };
    slots.split_off(count - got)
}

/// Puts blocks back into a heap whose spans are all on its lists.
pub(crate) fn put(heap: &Heap, blocks: &mut [*mut u8]) {
    let mut locked = heap.lock().unwrap();
    // SAFETY: the caller gives the blocks up.
    let strangers = unsafe { locked.put(blocks) };
    assert_eq!(strangers, 0);
    arena::release_spans(locked.unlock());
}

//! Arenas: shards of the heap. Each has chunks of granules, a heap for spans that
//! belong to no thread, and chunks of page runs (`page_runs.rs`). A thread stays with
//! one arena, chosen by the CPU that it first ran on.

use core::ptr::NonNull;

use crate::base::bits;
use crate::base::geometry::{ARENA_IDS, CHUNK, CHUNK_GRANULES, GRANULE, MAX_ARENAS, UNIT};
use crate::base::ordering;
use crate::base::size_class::{MAX_WORDS, SHAPES};
use crate::base::sync::{AtomicU32, AtomicUsize};
use crate::heaps::heap::{self, Heap};
use crate::heaps::heap_table;
use crate::pages::address_space;
use crate::pages::cgroup;
use crate::pages::committed::{self, Refused};
use crate::pages::free_space_index::FreeSpaceIndex;
use crate::pages::metadata;
use crate::pages::page_runs::PageRuns;
use crate::pages::usage;
use crate::spans::page_map::{Chunk, MAP};
use crate::spans::span::{DetachedSpans, Span};
use crate::sys;

/// The state of a shard that a fork can lose. It is replaced as a whole.
pub(crate) struct Arena {
    /// The heap of spans that belong to no thread.
    pub(crate) heap: Heap,
    /// Chunks of page runs.
    pub(crate) page_runs: PageRuns,
}

const SLOTS: usize = ARENA_IDS as usize;

static ARENAS: [Arena; SLOTS] = {
    let mut arenas = [const { Arena { heap: Heap::new(0), page_runs: PageRuns::new(0) } }; SLOTS];
    let mut i = 0;
    while i < SLOTS {
        arenas[i] = Arena { heap: Heap::new(i as u32 + 1), page_runs: PageRuns::new(i as u32 + 1) };
        i += 1;
    }
    arenas
};

/// The free-space index of each shard. It is consistent after every single store, so it
/// survives a fork.
static FREE_SPACE: [FreeSpaceIndex; MAX_ARENAS] = [const { FreeSpaceIndex::new() }; MAX_ARENAS];

/// Shards that there are.
static COUNT: AtomicUsize = AtomicUsize::new(1);

/// Shards that threads are assigned to; the others may have some from before.
static GIVEN: AtomicUsize = AtomicUsize::new(1);

/// The index in `ARENAS` of each shard's arena.
static PRESENT: [AtomicU32; MAX_ARENAS] = [const { AtomicU32::new(0) }; MAX_ARENAS];

/// Slots of `ARENAS` in use or used before.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Creates as many shards as the process may use CPUs, with an index at each of
/// `tables`, once, while no other thread runs.
pub(crate) fn init_tables(tables: &[NonNull<u8>], chunks: usize) {
    for (shard, table) in tables.iter().enumerate() {
        FREE_SPACE[shard].init_tables(*table, chunks);
        install(shard);
    }
    COUNT.store(tables.len(), ordering::shard_count());
    GIVEN.store(tables.len(), ordering::shard_count());
}

/// How many shards there should be.
pub(crate) fn wanted() -> usize {
    sys::cpu_count().clamp(1, MAX_ARENAS)
}

fn install(shard: usize) -> bool {
    let slot = USED.fetch_add(1, ordering::arenas_used());
    let Some(arena) = ARENAS.get(slot) else { return false };
    heap_table::publish(&arena.heap);
    PRESENT[shard].store(slot as u32, ordering::published_set());
    true
}

/// Shards that there are.
pub(crate) fn count() -> usize {
    COUNT.load(ordering::shard_count())
}

/// From now on, assigns threads to as many shards as the container may use processors.
pub(crate) fn fit_container() {
    if let Some(cpus) = cgroup::cpus() {
        GIVEN.store(cpus.clamp(1, count()), ordering::shard_count());
    }
}

/// The shard for a thread on this CPU.
pub(crate) fn nearest() -> usize {
    sys::current_cpu() % GIVEN.load(ordering::shard_count())
}

/// The arena of a shard.
pub(crate) fn get(shard: usize) -> &'static Arena {
    &ARENAS[PRESENT[shard].load(ordering::published_get()) as usize]
}

/// The arena of the shard that a chunk of spans is in.
pub(crate) fn of(chunk: &Chunk) -> &'static Arena {
    get(chunk.arena.load(ordering::chunk_arena()) as usize)
}

/// The arena that an entry names, if its owner is an arena.
pub(crate) fn by_id(id: u32) -> Option<&'static Arena> {
    ARENAS.get(id.wrapping_sub(1) as usize)
}

/// All arenas that ever existed.
pub(crate) fn all() -> &'static [Arena] {
    &ARENAS[..USED.load(ordering::arenas_used()).min(SLOTS)]
}

/// In the child of a fork: an arena that a vanished thread was changing is lost. Its
/// shard gets a new one, while there are any.
pub(crate) fn after_fork() {
    for shard in 0..count() {
        let arena = get(shard);
        let heap = arena.heap.mark_dead_if_orphaned();
        let runs = arena.page_runs.mark_dead_if_orphaned();
        if heap || runs {
            install(shard);
        }
    }
}

/// Creates a span of `class` that names the heap `heap`, all its blocks free. It is on
/// no list yet. No lock is taken except to map a chunk.
pub(crate) fn claim_span(shard: usize, class: usize, heap: u32) -> Option<NonNull<Span>> {
    let len = SHAPES[class].granules as usize;
    let (index, first) = claim(shard, len).ok()??;
    let chunk = MAP.chunk(index);
    let span = chunk.set_span(first, len);
    let base = MAP.chunk_base(index).wrapping_add(first * GRANULE);
    // SAFETY: [CHUNK-SPANS] a chunk with granules to claim has its bitmaps.
    let long = unsafe { chunk.long_bits.load(ordering::chunk_spans()).add(first * MAX_WORDS) };
    // SAFETY: [HEAP-LOCKED] we claimed the granules, so the span is ours until it has a
    // heap.
    unsafe { heap::init_span(span, class, base, long, heap) };
    Some(span)
}

/// A chunk and the first granule of a claimed run, if there was one.
type Found = Option<(usize, usize)>;

/// Claims a run of `len` granules: from this shard, else from another, else from a new
/// chunk.
fn claim(shard: usize, len: usize) -> Result<Found, Refused> {
    let shards = count();
    for i in 0..shards {
        if let Some(found) = claim_in((shard + i) % shards, len)? {
            return Ok(Some(found));
        }
    }
    while new_chunk(shard).is_some() {
        // Other threads may claim all of it first; then we map one more.
        if let Some(found) = claim_in(shard, len)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn claim_in(shard: usize, len: usize) -> Result<Found, Refused> {
    let granules = |index| &MAP.chunk(index).granules;
    let Some((index, first, dirty)) = FREE_SPACE[shard].claim(len, MAP.readable_chunks(), granules)
    else {
        return Ok(None);
    };
    let had = dirty.count_ones() as usize;
    // How much to charge is known only after the claim.
    if let Err(refused) = committed::charge((len - had) * GRANULE) {
        give_back(index, bits::mask(first, len), dirty);
        return Err(refused);
    }
    usage::took_span(len * GRANULE, had * GRANULE);
    Ok(Some((index, first)))
}

/// Maps a chunk for spans and publishes its granules.
#[cold]
fn new_chunk(shard: usize) -> Option<()> {
    let index = address_space::map(1, 1, CHUNK)?.at;
    let chunk = MAP.chunk(index);
    if !furnish(chunk) {
        // SAFETY: no other thread has the chunk yet.
        unsafe { address_space::unmap(index, 1, CHUNK) };
        return None;
    }
    chunk.arena.store(shard as u32, ordering::chunk_arena());
    chunk.granules.reset_free();
    FREE_SPACE[shard].mark(index, u64::MAX);
    usage::grew_to(address_space::mapped());
    Some(())
}

/// Allocates the spans and bitmaps of a chunk, unless it has them. They stay with its
/// record.
fn furnish(chunk: &Chunk) -> bool {
    if chunk.spans.load(ordering::chunk_spans()).is_null() {
        let Some(spans) = metadata::alloc(CHUNK_GRANULES * size_of::<Span>()) else { return false };
        chunk.spans.store(spans.as_ptr().cast(), ordering::chunk_spans());
    }
    if chunk.long_bits.load(ordering::chunk_spans()).is_null() {
        let Some(bits) = metadata::alloc(CHUNK_GRANULES * MAX_WORDS * 8) else { return false };
        chunk.long_bits.store(bits.as_ptr().cast(), ordering::chunk_spans());
    }
    true
}

/// Frees the granules of empty spans. The caller holds no lock.
pub(crate) fn release_spans(mut empty: DetachedSpans) {
    let mut filled = empty.filled();
    // SAFETY: the spans left their heap; they are ours alone.
    while let Some(span) = unsafe { empty.pop() } {
        // SAFETY: likewise.
        let (base, bytes, holes) = unsafe { heap::clear_owner(span) };
        filled += holes;
        let index = MAP.chunk_index(base);
        let first = (base.addr() % CHUNK) / GRANULE;
        let bits = bits::mask(first, bytes / GRANULE);
        give_back(index, bits, bits);
        usage::gave_span(bytes);
    }
    if filled != 0 {
        usage::filled(filled * UNIT);
    }
}

/// Frees claimed granules of a chunk; `dirty` are those with memory.
pub(crate) fn give_back(index: usize, bits: u64, dirty: u64) {
    let chunk = MAP.chunk(index);
    let shard = chunk.arena.load(ordering::chunk_arena()) as usize;
    FREE_SPACE[shard].give_back(index, &chunk.granules, bits, dirty);
}

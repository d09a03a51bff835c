//! Arenas: shards of the heap. Each has chunks of granules, a heap for spans that
//! belong to no thread, and chunks of page runs (`page_runs.rs`). A thread draws from
//! the arena of the CPU that it runs on; it looks now and then whether that is another.
//!
//! ```text
//!  CPU     40 41 42 43        ranks in the order in which they ran a thread
//!  rank     1  0  –  2
//!  shard    1  0     0        two threads so far: two shards
//! ```

use core::mem::offset_of;
use core::ptr::NonNull;

use crate::base::bits;
use crate::base::directory::{self, Address};
use crate::base::geometry::{CHUNK, CHUNK_GRANULES, GRANULE, MAX_ARENAS, UNIT};
use crate::base::later;
use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::published::PublishedCount;
use crate::base::size_class::{self, MAX_WORDS, SHAPES};
use crate::base::sync::{self, AtomicU16, AtomicUsize};
use crate::heaps::heap::{self, Heap};
use crate::heaps::heap_table;
use crate::pages::address_space::{self, Charge, Mapped};
use crate::pages::cgroup;
use crate::pages::chunk_metadata;
use crate::pages::committed::{COMMITTED, Refused};
use crate::pages::free_space_index::FreeSpaceIndex;
use crate::pages::freed_huge;
use crate::pages::page_runs::{self, PageRuns, Run};
use crate::pages::tables;
use crate::pages::thp;
use crate::pages::usage;
use crate::spans::page_map::{Chunk, MAP};
use crate::spans::span::{DetachedSpans, Span};
use crate::sys;

/// The state of a shard. The heap comes first, and page runs on other cache lines.
#[repr(C, align(64))]
pub(crate) struct Arena {
    /// The heap of spans that belong to no thread.
    pub(crate) heap: Heap,
    /// Chunks of page runs.
    pub(crate) page_runs: PageRuns,
}

/// All zero: an arena that is not started takes no memory.
static ARENAS: [Arena; MAX_ARENAS] =
    [const { Arena { heap: Heap::new(0), page_runs: PageRuns::new() } }; MAX_ARENAS];

/// Where the arenas are, for readers outside of the process.
pub(crate) const fn places() -> directory::Arenas {
    directory::Arenas {
        count: Address::of(&raw const COUNT),
        heaps: Address::of(&raw const ARENAS).plus(offset_of!(Arena, heap)),
        stride: size_of::<Arena>(),
    }
}

/// The free-space index of each shard.
static FREE_SPACE: [FreeSpaceIndex; MAX_ARENAS] = [const { FreeSpaceIndex::new() }; MAX_ARENAS];

/// Shards that are started: the first ones.
static COUNT: PublishedCount = PublishedCount::new();

/// Maximum number of shards that threads are assigned to.
static MOST: AtomicUsize = AtomicUsize::new(MAX_ARENAS);

/// Held to start a shard.
static STARTING: Lock = Lock::new();

/// CPU numbers that are told apart.
const CPUS: usize = 1024;

/// For each CPU, how many others ran a thread of the process before it did, plus one; 0:
/// it ran none yet.
static RANKS: [AtomicU16; CPUS] = [const { AtomicU16::new(0) }; CPUS];

/// CPUs that have a rank.
static RANKED: AtomicU16 = AtomicU16::new(0);

/// Starts the first shard. Called while no other thread runs, when the tables are placed.
pub(crate) fn begin() {
    // The last attempt to set up may have failed after this.
    COUNT.publish(0);
    start(0);
}

/// Starts all shards up to this one. False in a signal handler that interrupts that.
#[cold]
fn start(shard: usize) -> bool {
    let Some(_held) = STARTING.lock() else { return false };
    let Some(indexes) = tables::indexes() else { return false };
    for next in count()..=shard {
        FREE_SPACE[next].init_tables(indexes, next);
        let arena = &ARENAS[next];
        arena.heap.set_id(next as u32 + 1);
        arena.page_runs.set_id(next as u32 + 1);
        heap_table::publish(&arena.heap);
        COUNT.publish(next + 1);
    }
    true
}

/// Shards that are started.
pub(crate) fn count() -> usize {
    COUNT.get()
}

/// From now on, assigns threads to as many shards as the container may use processors.
/// Opens files.
pub(crate) fn fit_container() {
    let cpus = cgroup::cpus().unwrap_or(MAX_ARENAS);
    MOST.store(cpus.clamp(1, MAX_ARENAS), ordering::shards_wanted());
}

/// The shard for a thread on this CPU. There are as many as CPUs that threads of the
/// process ran on, but not more than threads: one alone would spread over all of them
/// what it frees.
pub(crate) fn nearest() -> usize {
    let most = MOST.load(ordering::shards_wanted()).min(heap_table::thread_ids().len()).max(1);
    let shard = rank(sys::current_cpu()) % most;
    if shard < count() || start(shard) { shard } else { 0 }
}

/// How many CPUs ran a thread of the process before this one did. The CPUs that it may use
/// can change at any time, and be any.
fn rank(cpu: usize) -> usize {
    let rank = &RANKS[cpu % CPUS];
    let seen = rank.load(ordering::cpu_rank());
    if seen != 0 {
        return usize::from(seen) - 1;
    }
    let new = RANKED.fetch_add(1, ordering::cpu_rank()) + 1;
    match rank.compare_exchange(0, new, ordering::cpu_rank(), ordering::cpu_rank()) {
        Ok(_) => usize::from(new) - 1,
        Err(seen) => usize::from(seen) - 1,
    }
}

/// The arena of a shard.
pub(crate) fn get(shard: usize) -> &'static Arena {
    &ARENAS[shard]
}

/// The arena of the shard that a chunk of spans is in.
pub(crate) fn of(chunk: &Chunk) -> &'static Arena {
    get(shard_of(chunk))
}

/// The shard of a chunk of spans. Of another, it may be any.
fn shard_of(chunk: &Chunk) -> usize {
    chunk.arena.load(ordering::chunk_arena()).saturating_sub(1) as usize
}

/// Whether a chunk is one of spans.
pub(crate) fn has_spans(chunk: &Chunk) -> bool {
    chunk.arena.load(ordering::chunk_arena()) != 0
}

/// Records that a chunk is none of spans any more. The caller has claimed all of it.
pub(crate) fn retire(chunk: &Chunk) {
    chunk.arena.store(0, ordering::chunk_arena());
}

/// The arena that an entry names, if its owner is an arena.
pub(crate) fn by_id(id: u32) -> Option<&'static Arena> {
    all().get(id.wrapping_sub(1) as usize)
}

/// All arenas.
pub(crate) fn all() -> &'static [Arena] {
    &ARENAS[..count()]
}

/// In the child of a fork: frees an orphaned lock. Starting a shard twice has no effect.
pub(crate) fn after_fork() {
    if STARTING.is_orphaned() {
        STARTING.force_unlock();
    }
}

/// Creates a span of `class` that names the heap `heap`, all its blocks free. It is on
/// no list yet. No lock is taken except to map a chunk.
pub(crate) fn claim_span(shard: usize, class: usize, heap: u32) -> Option<NonNull<Span>> {
    let len = SHAPES[class].granules as usize;
    let (index, first) = claim(shard, class).ok()??;
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

/// Claims the granules of a span of `class`: from this shard, else from another, else from a new
/// chunk.
fn claim(shard: usize, class: usize) -> Result<Found, Refused> {
    let (shards, len) = (count(), SHAPES[class].granules as usize);
    for i in 0..shards {
        if let Some(found) = claim_in((shard + i) % shards, len)? {
            return Ok(Some(found));
        }
    }
    let may_be_huge = size_class::size(class) <= LARGEST_IN_HUGE_PAGES;
    while new_chunk(shard, may_be_huge).is_some() {
        // Other threads may claim all of it first; then we map one more.
        if let Some(found) = claim_in(shard, len)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn claim_in(shard: usize, len: usize) -> Result<Found, Refused> {
    let granules = |index| &MAP.chunk(index).granules;
    let Some((index, first, dirty)) = FREE_SPACE[shard].claim(len, MAP.used_chunks(), granules)
    else {
        return Ok(None);
    };
    let had = dirty.count_ones() as usize;
    // How much to charge is known only after the claim.
    if let Err(refused) = COMMITTED.charge((len - had) * GRANULE) {
        if sync::step("refusal_gives_back") {
            give_back(index, bits::mask(first, len), dirty);
        }
        return Err(refused);
    }
    usage::took_span(len * GRANULE, had * GRANULE);
    Ok(Some((index, first)))
}

/// Takes `count` chunks, of which the first `bytes` are mapped: spare ones first, with those of
/// the huge block on standby; then those that are free as a whole, whatever they were used for;
/// then fresh ones. The caller holds no lock.
pub(super) fn map(count: usize, align: usize, bytes: usize, charge: Charge) -> Option<Mapped> {
    let reuse = || address_space::reuse(count, align, bytes, charge);
    // Not for a block with a guard behind it.
    let may_reuse = bytes.div_ceil(CHUNK) == count && usage::dirty() >= CHUNK;
    // Its chunks may complete others.
    freed_huge::free_standby();
    reuse()
        .or_else(|| (may_reuse && gather()).then(reuse)?)
        .or_else(|| address_space::map(count, align, bytes, charge))
}

/// Makes all chunks spare that are free as a whole. Returns whether there were any.
#[cold]
fn gather() -> bool {
    // In a signal handler that interrupts a change of the address space, none could.
    if address_space::is_held_here() {
        return false;
    }
    let mut any = false;
    for arena in all() {
        while let Some((chunk, dirty)) = arena.page_runs.take_free_chunk() {
            make_spare(chunk, dirty.bytes, dirty.end);
            any = true;
        }
    }
    for index in &FREE_SPACE[..count()] {
        let granules = |index| &MAP.chunk(index).granules;
        while let Some(chunk) = index.claim_chunk(MAP.used_chunks(), granules) {
            let dirty = granules(chunk).take_dirty(u64::MAX);
            let end = CHUNK_GRANULES - dirty.leading_zeros() as usize;
            retire(MAP.chunk(chunk));
            make_spare(chunk, dirty.count_ones() as usize * GRANULE, end * GRANULE);
            any = true;
        }
    }
    any
}

/// Makes a chunk spare, of which `dirty` bytes before `end` may hold memory.
fn make_spare(chunk: usize, dirty: usize, end: usize) {
    // From now on all before the end counts, clean or not, in whole pages.
    let end = end.next_multiple_of(sys::page_size());
    if usage::found_dirty(end - dirty).is_ok() {
        address_space::keep(chunk, 1, end);
        return;
    }
    // SAFETY: all of the chunk is free, and ours.
    let left = unsafe { address_space::unmap(chunk, 1, CHUNK) };
    usage::unmapped(dirty, left);
}

/// A chunk is not taken for larger blocks in a huge page: a program may never write to a part of
/// them.
const LARGEST_IN_HUGE_PAGES: usize = 4096;

/// Takes a chunk for spans and publishes its granules. If it `may_be_huge`, and holds no memory,
/// it gets a huge page where the heap shows that it will be filled.
#[cold]
fn new_chunk(shard: usize, may_be_huge: bool) -> Option<()> {
    let Mapped { at: index, dirty, .. } = map(1, 1, CHUNK, Charge::Later)?;
    let chunk = MAP.chunk(index);
    if !chunk_metadata::ensure_spans(chunk) {
        address_space::keep(index, 1, dirty);
        return None;
    }
    // A granule is dirty as a whole, or not.
    let granules = dirty.div_ceil(GRANULE);
    if usage::found_dirty(granules * GRANULE - dirty).is_err() {
        // SAFETY: the chunk is ours, and nobody uses it.
        let left = unsafe { address_space::unmap(index, 1, CHUNK) };
        usage::unmapped(dirty, left);
        return None;
    }
    thp::left_huge_page(index);
    if may_be_huge && dirty == 0 && usage::is_large_and_filled() {
        // SAFETY: the chunk is ours, and holds no memory.
        unsafe { thp::populate(index) };
    }
    chunk.arena.store(shard as u32 + 1, ordering::chunk_arena());
    chunk.granules.reset_free(bits::low(granules));
    FREE_SPACE[shard].mark(index, u64::MAX);
    usage::grew_to(address_space::mapped());
    Some(())
}

/// A page run of `units` that starts at a multiple of `align` units: from this shard, else,
/// if memory is free anywhere, from another, else from a new chunk.
pub(crate) fn get_run(shard: usize, units: usize, align: usize) -> Option<Run> {
    let own = &get(shard).page_runs;
    loop {
        if let Some(run) = own.get(units, align)? {
            return Some(run);
        }
        if usage::dirty() >= units * UNIT {
            let mut others = (1..count()).map(|i| &get((shard + i) % count()).page_runs);
            if let Some(run) = others.find_map(|runs| runs.get(units, align).flatten()) {
                return Some(run);
            }
        }
        own.add(map(1, 1, CHUNK, Charge::Later)?)?;
    }
}

/// Frees the page run at `ptr`, which has an arena's entry and is said to have `size`
/// bytes. A misuse is noted, and has no effect. In a signal handler that interrupts the
/// arena's page runs, the run waits. Returns whether it was freed.
pub(crate) fn put_run(ptr: *mut u8, owner: u32, size: usize) -> bool {
    let Some(arena) = by_id(owner) else { return false };
    let bytes = page_runs::units(size.max(1)) * UNIT;
    match arena.page_runs.put(ptr, bytes / UNIT, size) {
        Some(Ok(())) => {
            usage::gave_large(bytes, bytes);
            return true;
        }
        Some(Err(report)) => report.note(),
        // SAFETY: the caller frees the run.
        None => unsafe { later::keep_block(ptr) },
    }
    false
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

/// In the child of a fork: sets the bits of a chunk that a vanished thread was about to set.
pub(crate) fn mark_again(index: usize, chunk: &Chunk) {
    FREE_SPACE[shard_of(chunk)].mark_surely(index, chunk.granules.free_hint());
}

/// Frees claimed granules of a chunk; `dirty` are those with memory.
pub(crate) fn give_back(index: usize, bits: u64, dirty: u64) {
    let chunk = MAP.chunk(index);
    FREE_SPACE[shard_of(chunk)].give_back(index, &chunk.granules, bits, dirty);
}

//! The numbers of a copy of the allocator, computed from its words as the copy itself computes
//! them for its statistics (`report/stats.rs` of the core). They are exact while no thread of the
//! process allocates or frees.

use allocator_core::directory::{Address, Directory};
use serde::{Deserialize, Serialize};

use crate::memory::{Memory, Range, halves, words};
use crate::problem::Problem;

/// What a word with no limit holds.
const NO_LIMIT: usize = usize::MAX;

/// Most arenas that make sense.
const ARENAS: usize = 1 << 10;

/// All numbers, under the names that the allocator's own JSON has (`docs/metrics.md`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) version: String,
    pub(crate) live_bytes: usize,
    pub(crate) large_bytes: usize,
    pub(crate) huge_bytes: usize,
    pub(crate) huge_blocks: usize,
    pub(crate) cached_bytes: usize,
    pub(crate) mapped_bytes: usize,
    pub(crate) committed_bytes: usize,
    pub(crate) committed_peak_bytes: usize,
    pub(crate) free_bytes: usize,
    pub(crate) metadata_bytes: usize,
    pub(crate) allocated_blocks_total: usize,
    pub(crate) allocated_bytes_total: usize,
    pub(crate) freed_blocks_total: usize,
    pub(crate) freed_bytes_total: usize,
    pub(crate) purged_bytes_total: usize,
    pub(crate) purges_total: usize,
    pub(crate) threads: usize,
    pub(crate) threads_peak: usize,
    pub(crate) refusals_total: usize,
    pub(crate) limit_bytes: Option<usize>,
    pub(crate) limit_exceeded_total: usize,
    pub(crate) hard_limit_bytes: Option<usize>,
    pub(crate) hard_limit_refusals_total: usize,
    pub(crate) container_limit_bytes: Option<usize>,
    pub(crate) container_used_ratio: f64,
    pub(crate) container_waiting_ratio: f64,
    pub(crate) memory_short: usize,
    pub(crate) memory_scarce: usize,
    /// Those with blocks, smallest first.
    pub(crate) classes: Vec<Class>,
}

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Class {
    pub(crate) block_bytes: usize,
    pub(crate) live_blocks: usize,
    pub(crate) cached_blocks: usize,
}

impl Class {
    pub(crate) fn live_bytes(&self) -> usize {
        self.live_blocks.saturating_mul(self.block_bytes)
    }

    pub(crate) fn cached_bytes(&self) -> usize {
        self.cached_blocks.saturating_mul(self.block_bytes)
    }
}

/// Blocks and their bytes.
#[derive(Clone, Copy, Default)]
struct Amount {
    blocks: usize,
    bytes: usize,
}

impl Amount {
    fn plus(self, other: Amount) -> Self {
        Amount {
            blocks: self.blocks.wrapping_add(other.blocks),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }
}

/// Reads all numbers.
///
/// # Errors
/// The process has ended, or what it has makes no sense. `Ok(None)`: the copy is not set up.
pub(crate) fn read(
    memory: &Memory,
    directory: &Directory,
    version: &str,
) -> Result<Option<Numbers>, Problem> {
    let arenas = memory.one(directory.arenas.count.get(), size_of::<usize>())?;
    let arenas = words(&arenas).next().unwrap_or(0);
    if arenas == 0 {
        return Ok(None);
    }
    if arenas > ARENAS {
        return Err(Problem::Damaged(memory.pid));
    }
    // What left spans is read before what is out of them, as in the process.
    let threads = Threads::read(memory, directory)?;
    let out = out(memory, directory, arenas, &threads)?;
    let cached = cached(memory, directory, &threads)?;
    let words = Words::read(memory, directory)?;
    let sizes = Range {
        at: directory.classes.bytes.get(),
        bytes: directory.classes.stride.saturating_mul(directory.classes.count),
    };
    let sizes = memory.read(&[sizes])?.remove(0);
    let sizes = sizes.chunks(directory.classes.stride.max(1)).map(|shape| halves(shape).next());
    let classes = sizes.zip(out).zip(cached).map(|((size, out), cached)| Class {
        block_bytes: size.unwrap_or(0) as usize,
        live_blocks: not_below_0(out.wrapping_sub(cached as u32)),
        cached_blocks: cached,
    });
    Ok(Some(numbers(&words, &threads, classes.collect(), version, directory.huge.unit)))
}

/// A number of blocks, from counts modulo 2^32 that change while they are read: one that is a
/// little below 0 is 0.
fn not_below_0(blocks: u32) -> usize {
    const LITTLE: u32 = 1 << 24;
    if blocks > u32::MAX - LITTLE { 0 } else { blocks as usize }
}

/// The same of bytes, modulo 2^64.
fn bytes_not_below_0(bytes: usize) -> usize {
    if bytes > isize::MAX as usize { 0 } else { bytes }
}

/// What the records of threads have.
struct Threads {
    /// For each heap, the blocks out of each class.
    out: Vec<Vec<u8>>,
    /// The caches of those that run.
    caches: Vec<usize>,
    /// What left spans for them, and what they got of large blocks.
    small: Amount,
    large: Amount,
    large_freed: usize,
}

impl Threads {
    fn read(memory: &Memory, directory: &Directory) -> Result<Self, Problem> {
        const WORD: usize = size_of::<usize>();
        let (records, heap) = (&directory.records, &directory.heap);
        let next = memory.one(records.next.get(), size_of::<u32>())?;
        let end = (halves(&next).next().unwrap_or(0) as usize).min(records.most);
        let count = end.saturating_sub(records.first);
        let table =
            memory.one(records.table.get().wrapping_add(records.first * WORD), count * WORD)?;
        let offsets = [
            heap.small_blocks,
            heap.small_bytes,
            heap.large_blocks,
            heap.large_bytes,
            heap.large_freed,
        ];
        let parts = words(&table).filter(|record| *record != 0).flat_map(|record| {
            let at = record.wrapping_add(records.heap);
            let tally = offsets.map(|offset| Range { at: at.wrapping_add(offset), bytes: WORD });
            let out = Range { at: at.wrapping_add(heap.out), bytes: 4 * directory.classes.count };
            let cache = Range { at: record.wrapping_add(records.cache), bytes: WORD };
            tally.into_iter().chain([out, cache])
        });
        let parts = memory.read(&parts.collect::<Vec<_>>())?;
        let mut threads = Threads {
            out: Vec::new(),
            caches: Vec::new(),
            small: Amount::default(),
            large: Amount::default(),
            large_freed: 0,
        };
        for record in parts.chunks_exact(offsets.len() + 2) {
            let word = |at: usize| words(&record[at]).next().unwrap_or(0);
            threads.small = threads.small.plus(Amount { blocks: word(0), bytes: word(1) });
            threads.large = threads.large.plus(Amount { blocks: word(2), bytes: word(3) });
            threads.large_freed = threads.large_freed.wrapping_add(word(4));
            threads.out.push(record[5].clone());
            threads.caches.extend(Some(word(6)).filter(|cache| *cache != 0));
        }
        Ok(threads)
    }
}

/// Blocks of each class that are out of spans, modulo 2^32.
fn out(
    memory: &Memory,
    directory: &Directory,
    arenas: usize,
    threads: &Threads,
) -> Result<Vec<u32>, Problem> {
    let bytes = 4 * directory.classes.count;
    let first = directory.arenas.heaps.get().wrapping_add(directory.heap.out);
    let heaps = (0..arenas).map(|arena| Range {
        at: first.wrapping_add(arena.wrapping_mul(directory.arenas.stride)),
        bytes,
    });
    let returned = Range { at: directory.records.returned.get(), bytes };
    let parts = memory.read(&heaps.chain([returned]).collect::<Vec<_>>())?;
    let (returned, heaps) = parts.split_last().expect("there is one at least");
    let mut out = vec![0_u32; directory.classes.count];
    for heap in heaps.iter().chain(&threads.out) {
        out.iter_mut().zip(halves(heap)).for_each(|(sum, blocks)| *sum = sum.wrapping_add(blocks));
    }
    out.iter_mut().zip(halves(returned)).for_each(|(sum, back)| *sum = sum.wrapping_sub(back));
    Ok(out)
}

/// Free blocks of each class in the caches of threads, and in stocks.
fn cached(
    memory: &Memory,
    directory: &Directory,
    threads: &Threads,
) -> Result<Vec<usize>, Problem> {
    let (classes, cache, stocks) = (directory.classes.count, &directory.cache, &directory.stocks);
    let mut cached = vec![0; classes];
    let bins = threads.caches.iter().map(|at| Range {
        at: at.wrapping_add(cache.bins),
        bytes: cache.stride.saturating_mul(classes),
    });
    for bins in memory.read(&bins.collect::<Vec<_>>())? {
        for (sum, bin) in cached.iter_mut().zip(bins.chunks(cache.stride.max(1))) {
            let word = |at: usize| bin.get(at..).and_then(|bin| words(bin).next()).unwrap_or(0);
            let bytes = word(cache.top).wrapping_sub(word(cache.base));
            let blocks = (bytes / size_of::<usize>()).wrapping_sub(1);
            *sum += if blocks <= cache.most { blocks } else { 0 };
        }
    }
    let table = stocks.rows * classes * size_of::<usize>();
    let table = memory.one(stocks.table.get(), table)?;
    let places: Vec<(usize, usize)> =
        words(&table).enumerate().filter(|(_, stock)| *stock != 0).collect();
    let counts = places
        .iter()
        .map(|(_, stock)| Range { at: stock.wrapping_add(stocks.count), bytes: size_of::<u32>() });
    let counts = memory.read(&counts.collect::<Vec<_>>())?;
    for ((place, _), count) in places.iter().zip(&counts) {
        cached[place % classes] += halves(count).next().unwrap_or(0) as usize;
    }
    Ok(cached)
}

/// The words that stand alone.
struct Words {
    small: Amount,
    large: Amount,
    large_freed: usize,
    dirty: usize,
    standby: usize,
    huge: Amount,
    held_back: Amount,
    spans: usize,
    purged: usize,
    committed: usize,
    soft: usize,
    hard: usize,
    purges: usize,
    refusals: usize,
    soft_limit: usize,
    hard_limit: usize,
    peak_committed: usize,
    peak_threads: usize,
    allocated_seen: Amount,
    freed_seen: Amount,
    mapped: usize,
    metadata: usize,
    threads: usize,
    container: [usize; 3],
    supply: usize,
}

impl Words {
    /// Free bytes are read before the committed ones, which include them.
    fn read(memory: &Memory, directory: &Directory) -> Result<Self, Problem> {
        let (usage, committed) = (&directory.usage, &directory.committed);
        let (counters, container) = (&directory.counters, &directory.container);
        let mut places: Vec<(Address, usize)> = Vec::new();
        let whole = [
            counters.small_blocks,
            counters.small_bytes,
            usage.dirty,
            directory.huge.standby,
            directory.huge.blocks,
            directory.huge.bytes,
            directory.held_back.blocks,
            directory.held_back.bytes,
            counters.large_freed,
            counters.large_blocks,
            counters.large_bytes,
            usage.spans,
            committed.bytes,
            usage.purged,
            committed.soft,
            committed.hard,
            counters.purges,
            counters.refusals,
            counters.soft_limit,
            counters.hard_limit,
            counters.peak_committed,
            counters.peak_threads,
            counters.allocated_blocks_seen,
            counters.allocated_bytes_seen,
            counters.freed_blocks_seen,
            counters.freed_bytes_seen,
            directory.mapped,
            directory.metadata,
            container.limit,
            container.used,
            container.waiting,
        ];
        places.extend(whole.map(|at| (at, size_of::<usize>())));
        places.extend([(directory.threads, size_of::<u32>()), (container.supply, 1)]);
        let ranges = places.iter().map(|(at, bytes)| Range { at: at.get(), bytes: *bytes });
        let read = memory.read(&ranges.collect::<Vec<_>>())?;
        let mut read = read.iter().map(|bytes| {
            bytes.iter().rev().fold(0_usize, |word, byte| word << 8 | usize::from(*byte))
        });
        let mut next = || read.next().expect("one for each place");
        // In the order of the places.
        let small = Amount { blocks: next(), bytes: next() };
        let (dirty, standby) = (next(), next());
        let huge = Amount { blocks: next(), bytes: next() };
        let held_back = Amount { blocks: next(), bytes: next() };
        let large_freed = next();
        let large = Amount { blocks: next(), bytes: next() };
        Ok(Words {
            small,
            large,
            large_freed,
            dirty,
            standby,
            huge,
            held_back,
            spans: next(),
            committed: next(),
            purged: next(),
            soft: next(),
            hard: next(),
            purges: next(),
            refusals: next(),
            soft_limit: next(),
            hard_limit: next(),
            peak_committed: next(),
            peak_threads: next(),
            allocated_seen: Amount { blocks: next(), bytes: next() },
            freed_seen: Amount { blocks: next(), bytes: next() },
            mapped: next(),
            metadata: next(),
            container: [next(), next(), next()],
            threads: next(),
            supply: next(),
        })
    }
}

fn numbers(
    words: &Words,
    threads: &Threads,
    classes: Vec<Class>,
    version: &str,
    unit: usize,
) -> Numbers {
    let standby = (words.standby & u32::MAX as usize) * unit;
    let is_standby = usize::from(words.standby != 0);
    let free = bytes_not_below_0(words.dirty) + standby;
    let in_use = bytes_not_below_0(words.committed.wrapping_sub(free));
    let large =
        bytes_not_below_0(in_use.wrapping_sub(words.spans)).saturating_sub(words.held_back.bytes);
    let sum = |bytes: fn(&Class) -> usize| classes.iter().map(bytes).sum::<usize>();
    let (live, cached) = (sum(Class::live_bytes), sum(Class::cached_bytes));
    let out = Amount {
        blocks: sum(|class| class.live_blocks + class.cached_blocks),
        bytes: live + cached,
    };
    let left = words.small.plus(threads.small);
    let got = words.large.plus(threads.large);
    let freed_blocks = left.blocks.saturating_sub(out.blocks)
        + words.large_freed.wrapping_add(threads.large_freed);
    let freed_bytes = left.bytes.saturating_sub(out.bytes) + got.bytes.saturating_sub(large);
    let huge = |all: usize, standby: usize, held_back: usize| {
        all.saturating_sub(standby).saturating_sub(held_back)
    };
    let limit = |bytes: usize| (bytes != NO_LIMIT && bytes != 0).then_some(bytes);
    let ratio = |percent: usize| percent as f64 / 100.0;
    let [container, used, waiting] = words.container;
    Numbers {
        version: version.to_owned(),
        live_bytes: live + large,
        large_bytes: large,
        huge_bytes: huge(words.huge.bytes, standby, words.held_back.bytes),
        huge_blocks: huge(words.huge.blocks, is_standby, words.held_back.blocks),
        cached_bytes: cached,
        mapped_bytes: words.mapped,
        committed_bytes: words.committed.max(free),
        committed_peak_bytes: words.peak_committed,
        free_bytes: free,
        metadata_bytes: words.metadata,
        allocated_blocks_total: (left.blocks + got.blocks).max(words.allocated_seen.blocks),
        allocated_bytes_total: (left.bytes + got.bytes).max(words.allocated_seen.bytes),
        freed_blocks_total: freed_blocks.max(words.freed_seen.blocks),
        freed_bytes_total: freed_bytes.max(words.freed_seen.bytes),
        purged_bytes_total: words.purged,
        purges_total: words.purges,
        threads: words.threads,
        threads_peak: words.peak_threads,
        refusals_total: words.refusals,
        limit_bytes: limit(words.soft),
        limit_exceeded_total: words.soft_limit,
        hard_limit_bytes: limit(words.hard),
        hard_limit_refusals_total: words.hard_limit,
        container_limit_bytes: limit(container),
        container_used_ratio: ratio(used),
        container_waiting_ratio: ratio(waiting),
        memory_short: usize::from(words.supply > 0),
        memory_scarce: usize::from(words.supply > 1),
        classes: classes
            .into_iter()
            .filter(|class| class.live_blocks + class.cached_blocks != 0)
            .collect(),
    }
}

//! Statistics, read without allocating and without stopping other threads. For each
//! class, every heap counts the blocks that went out to threads, less those that it
//! saw come back, modulo 2^32. The sum over all heaps, less the blocks freed by
//! threads without a cache, is out; without those in magazines, it is live. The
//! other values are counters that the modules of `pages` keep.
//!
//! Each heap also counts the blocks that left spans for its thread, and never less of
//! them. All that left and is not out came back. So frees need no count of their own.

use core::fmt::{self, Display, Write};

use crate::base::own_stack;
use crate::base::size_class::{self, CLASSES};
use crate::heaps::tally::Tally;
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::cgroup;
use crate::pages::committed::COMMITTED;
use crate::pages::counters::{self, COUNTERS};
use crate::pages::freed_huge;
use crate::pages::held_back;
use crate::pages::helped;
use crate::pages::metadata;
use crate::pages::usage;
use crate::report::lines::Lines;
use crate::thread::registry;
use crate::thread::stock;

/// The counts of one size class, from [`Stats::classes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    block_bytes: usize,
    live_blocks: usize,
    cached_blocks: usize,
}

impl ClassStats {
    /// The size of each block of the class, in bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// The number of blocks that the program holds.
    #[must_use]
    pub fn live_blocks(&self) -> usize {
        self.live_blocks
    }

    /// The number of free blocks in thread caches.
    #[must_use]
    pub fn cached_blocks(&self) -> usize {
        self.cached_blocks
    }
}

impl ClassStats {
    /// Whether there are blocks of the class outside of spans.
    pub(super) fn is_in_use(&self) -> bool {
        self.live_blocks + self.cached_blocks != 0
    }
}

/// Statistics of the whole process, from [`Strata::stats`](crate::Strata::stats).
///
/// They are exact while no other thread allocates or frees. Otherwise they are not a
/// snapshot of one moment: a count may be off by what other threads did while it was
/// read, and values may disagree with each other by as much. No count is ever negative
/// or wraps around.
///
/// Counts *since the start* only grow, from one reading to the next, too. In the child
/// of a fork they go on from those of its parent.
///
/// # What allocations and frees count
///
/// The fast paths count nothing: they would be slower. Blocks are counted when they
/// leave their spans for a thread, and when they come back from it. So what is in
/// thread caches ([`Stats::cached_bytes`]) counts as allocated and not as freed, and a
/// block that a thread frees and gets again from its own cache is not counted
/// again. At each moment, allocated less freed is live and cached together, to
/// the byte.
///
/// `Display` prints one line for each value; [`Metrics`](crate::Metrics) has other
/// forms. The wording is for people and may change in any version.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    classes: [ClassStats; CLASSES],
    large_bytes: usize,
    huge_blocks: usize,
    huge_bytes: usize,
    cached_bytes: usize,
    mapped_bytes: usize,
    committed_bytes: usize,
    free_bytes: usize,
    purged_bytes: usize,
    metadata_bytes: usize,
    allocated: Amount,
    freed: Amount,
    peak_committed_bytes: usize,
    threads: usize,
    peak_threads: usize,
    purges: usize,
    refusals: usize,
    limit_bytes: usize,
    limit_exceeded: usize,
    hard_limit_bytes: usize,
    hard_limit_refusals: usize,
    container: Container,
}

/// Blocks and their bytes.
#[derive(Clone, Copy, Debug)]
struct Amount {
    blocks: usize,
    bytes: usize,
}

/// What is known of the container.
#[derive(Clone, Copy, Debug)]
struct Container {
    limit_bytes: usize,
    used_percent: usize,
    waiting_percent: usize,
    is_short: bool,
    is_scarce: bool,
}

impl Stats {
    /// The size classes, smallest first. They serve requests up to 32 KiB. The
    /// number of classes and their sizes may change between versions.
    #[must_use]
    pub fn classes(&self) -> &[ClassStats] {
        &self.classes
    }

    /// Bytes of all blocks that the program holds, rounded up as the allocator
    /// rounds them: to a size class up to 32 KiB, to whole pages above.
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.classes.iter().map(|class| class.live_blocks * class.block_bytes).sum::<usize>()
            + self.large_bytes
    }

    /// Bytes of the blocks that the program holds and no size class serves:
    /// those larger than 32 KiB or aligned to more, huge ones included.
    #[must_use]
    pub fn large_bytes(&self) -> usize {
        self.large_bytes
    }

    /// The number of huge blocks that the program holds: those that are larger
    /// than 1 MiB or aligned to more than that.
    #[must_use]
    pub fn huge_blocks(&self) -> usize {
        self.huge_blocks
    }

    /// Bytes of the huge blocks. [`Stats::large_bytes`] includes them.
    #[must_use]
    pub fn huge_bytes(&self) -> usize {
        self.huge_bytes
    }

    /// Bytes of the free blocks in thread caches.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// Bytes of address space that is mapped for blocks.
    #[must_use]
    pub fn mapped_bytes(&self) -> usize {
        self.mapped_bytes
    }

    /// Bytes that may hold physical memory for blocks: those in use, and free
    /// ones that were not returned to the system yet. The limits
    /// ([`Config::limit`](crate::Config::limit),
    /// [`Config::hard_limit`](crate::Config::hard_limit)) apply to this value.
    /// The allocator's own tables ([`Stats::metadata_bytes`]) are not included.
    #[must_use]
    pub fn committed_bytes(&self) -> usize {
        self.committed_bytes
    }

    /// The part of [`Stats::committed_bytes`] that no block uses, in units that
    /// can be returned to the system. Free blocks between live ones, and those in
    /// thread caches, are not included.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.free_bytes
    }

    /// Bytes returned to the system by purging since the process started.
    #[must_use]
    pub fn purged_bytes(&self) -> usize {
        self.purged_bytes
    }

    /// Bytes of the allocator's own tables and records that are in use.
    #[must_use]
    pub fn metadata_bytes(&self) -> usize {
        self.metadata_bytes
    }

    /// Blocks that were allocated since the start
    /// ([what counts](Stats#what-allocations-and-frees-count)).
    #[must_use]
    pub fn allocated_blocks(&self) -> usize {
        self.allocated.blocks
    }

    /// Bytes of the blocks that were allocated since the start, rounded up as those of
    /// [`Stats::live_bytes`]; with those by which large blocks grew in place.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.allocated.bytes
    }

    /// Blocks that were freed since the start
    /// ([what counts](Stats#what-allocations-and-frees-count)).
    #[must_use]
    pub fn freed_blocks(&self) -> usize {
        self.freed.blocks
    }

    /// Bytes of the blocks that were freed since the start, with those by which large
    /// blocks shrank in place.
    #[must_use]
    pub fn freed_bytes(&self) -> usize {
        self.freed.bytes
    }

    /// The most bytes that were committed at a time ([`Stats::committed_bytes`]) since
    /// the start.
    #[must_use]
    pub fn peak_committed_bytes(&self) -> usize {
        self.peak_committed_bytes
    }

    /// The number of threads that have a cache: those that allocated, and run.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The most threads that had a cache at a time since the start.
    #[must_use]
    pub fn peak_threads(&self) -> usize {
        self.peak_threads
    }

    /// Passes over free memory since the start that returned some of it to the
    /// system. One call of [`Strata::purge`](crate::Strata::purge) may be two.
    #[must_use]
    pub fn purges(&self) -> usize {
        self.purges
    }

    /// Requests since the start for which there was no memory, though all free memory
    /// had been returned to the system. A reallocation may count more than once.
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.refusals
    }

    /// The soft limit, in committed bytes; 0: there is none.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// How often since the start the committed bytes stayed above the soft limit although
    /// all free memory was returned to the system: how often the function given to
    /// [`Strata::on_limit`](crate::Strata::on_limit) was due.
    #[must_use]
    pub fn limit_exceeded(&self) -> usize {
        self.limit_exceeded
    }

    /// The hard limit, in committed bytes; 0: there is none.
    #[must_use]
    pub fn hard_limit_bytes(&self) -> usize {
        self.hard_limit_bytes
    }

    /// How often since the start the hard limit kept the allocator from committing more. A
    /// request that is refused so tries again after free memory was returned: so it may
    /// count more than once, and be served in the end.
    #[must_use]
    pub fn hard_limit_refusals(&self) -> usize {
        self.hard_limit_refusals
    }

    /// The tightest memory limit of the process's container when the process started, in
    /// bytes; 0: there was none.
    #[must_use]
    pub fn container_limit_bytes(&self) -> usize {
        self.container.limit_bytes
    }

    /// Percent of the container's tightest memory limit that were used when the allocator
    /// last looked: by all processes of the container, without cached files. It looks when
    /// the heap has grown, and while there is free memory to return; a process that does
    /// neither keeps an old value. 0 before the first look, and without a limit.
    #[must_use]
    pub fn container_used_percent(&self) -> usize {
        self.container.used_percent
    }

    /// Percent of the ten seconds before the allocator last looked in which some task of the
    /// container waited for memory (`some avg10` of the kernel's file `memory.pressure`).
    #[must_use]
    pub fn container_waiting_percent(&self) -> usize {
        self.container.waiting_percent
    }

    /// Whether memory was short when the allocator last looked: then it keeps little free
    /// memory. It is from 90 % of the container's limit on.
    #[must_use]
    pub fn is_memory_short(&self) -> bool {
        self.container.is_short
    }

    /// Whether memory was scarce when the allocator last looked: then it keeps no free
    /// memory. It is from 97 % of the container's limit on, or when tasks wait for memory.
    #[must_use]
    pub fn is_memory_scarce(&self) -> bool {
        self.container.is_scarce
    }
}

impl Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = |what: &str, bytes| writeln!(f, "{what:<28}{bytes:>18} bytes");
        bytes("live", self.live_bytes())?;
        bytes("  above 32 KiB", self.large_bytes)?;
        bytes("  huge", self.huge_bytes)?;
        bytes("in thread caches", self.cached_bytes)?;
        bytes("mapped", self.mapped_bytes)?;
        bytes("committed", self.committed_bytes)?;
        bytes("  at most so far", self.peak_committed_bytes)?;
        bytes("  free", self.free_bytes)?;
        bytes("tables and records", self.metadata_bytes)?;
        bytes("allocated so far", self.allocated.bytes)?;
        bytes("freed so far", self.freed.bytes)?;
        bytes("purged so far", self.purged_bytes)?;
        let mut limit = |what: &str, limit| match limit {
            0 => writeln!(f, "{what:<28}{:>18}", "none"),
            _ => writeln!(f, "{what:<28}{limit:>18} bytes"),
        };
        limit("soft limit", self.limit_bytes)?;
        limit("hard limit", self.hard_limit_bytes)?;
        limit("limit of the container", self.container.limit_bytes)?;
        let mut count = |what: &str, count| writeln!(f, "{what:<28}{count:>18}");
        count("  used at the last look, %", self.container.used_percent)?;
        count("  time spent waiting, %", self.container.waiting_percent)?;
        count("huge blocks", self.huge_blocks)?;
        count("blocks allocated so far", self.allocated.blocks)?;
        count("blocks freed so far", self.freed.blocks)?;
        count("threads", self.threads)?;
        count("  at most so far", self.peak_threads)?;
        count("purges so far", self.purges)?;
        count("requests refused so far", self.refusals)?;
        count("  times above soft limit", self.limit_exceeded)?;
        count("  times at hard limit", self.hard_limit_refusals)
    }
}

/// What was allocated, and what was freed, given what of it small blocks have in use or cached,
/// and of large blocks those that were allocated, those that were freed, and the bytes in use.
fn flows(out: Amount, large: (Amount, usize, usize), left: Amount) -> [Amount; 2] {
    let (large_allocated, large_freed, large_in_use) = large;
    let large_freed_bytes = large_allocated.bytes.saturating_sub(large_in_use);
    let now = |seen: &counters::Amount, blocks, bytes| Amount {
        blocks: seen.blocks.not_below(blocks),
        bytes: seen.bytes.not_below(bytes),
    };
    let allocated = now(
        &COUNTERS.allocated_seen,
        left.blocks + large_allocated.blocks,
        left.bytes + large_allocated.bytes,
    );
    let freed = now(
        &COUNTERS.freed_seen,
        left.blocks.saturating_sub(out.blocks) + large_freed,
        left.bytes.saturating_sub(out.bytes) + large_freed_bytes,
    );
    [allocated, freed]
}

/// Small blocks that left spans since the start.
fn left() -> Amount {
    let alone = &COUNTERS.small;
    let start = Amount { blocks: alone.blocks.get(), bytes: alone.bytes.get() };
    tallies().fold(start, |sum, tally| Amount {
        blocks: sum.blocks + tally.small_blocks.get(),
        bytes: sum.bytes + tally.small_bytes.get(),
    })
}

fn tallies() -> impl Iterator<Item = &'static Tally> {
    registry::heaps().map(|heap| &heap.tally)
}

/// Page runs and huge blocks that were allocated since the start, and the number of those that
/// were freed.
fn large() -> (Amount, usize) {
    // Read before the others: what is freed meanwhile was allocated.
    let freed_alone = COUNTERS.large_freed.get();
    let freed = tallies().fold(freed_alone, |sum, tally| sum + tally.large_freed.get());
    let alone = &COUNTERS.large;
    let start = Amount { blocks: alone.blocks.get(), bytes: alone.bytes.get() };
    let allocated = tallies().fold(start, |sum, tally| Amount {
        blocks: sum.blocks + tally.large_blocks.get(),
        bytes: sum.bytes + tally.large_bytes.get(),
    });
    (allocated, freed)
}

/// Prints all values to standard error.
pub(crate) fn print() {
    let _ = own_stack::run(|| write!(Lines::new("strata: "), "{}", read()));
}

/// A number of blocks, from counts modulo 2^32. If these change while they are
/// read, it may come out a little below 0: then it is 0.
fn not_below_0(blocks: u32) -> usize {
    const LITTLE: u32 = 1 << 24;
    if blocks > u32::MAX - LITTLE { 0 } else { blocks as usize }
}

/// Reads all values.
pub(crate) fn read() -> Stats {
    // Read before what is out: what leaves meanwhile was not freed.
    let left = left();
    let classes = core::array::from_fn(|class| {
        let cached = registry::cached(class) + stock::cached(class);
        let out = arena::all()
            .iter()
            .map(|arena| arena.heap.out(class))
            .chain(registry::heaps().map(|heap| heap.out(class)))
            .fold(0, u32::wrapping_add)
            .wrapping_sub(registry::returned(class));
        ClassStats {
            block_bytes: size_class::size(class),
            live_blocks: not_below_0(out.wrapping_sub(cached as u32)),
            cached_blocks: cached,
        }
    });
    let cached_bytes = classes.iter().map(|c: &ClassStats| c.cached_blocks * c.block_bytes).sum();
    // Read before the committed bytes, which include it.
    let free = usage::dirty();
    let (huge_blocks, huge_bytes) = freed_huge::held();
    let (held_back, held_back_bytes) = held_back::held();
    // Read before what is in use of it: it would count as freed.
    let (large_allocated, large_freed) = large();
    let large_bytes = usage::large().saturating_sub(held_back_bytes);
    let out = classes.iter().fold(Amount { blocks: 0, bytes: 0 }, |sum, class: &ClassStats| {
        let blocks = class.live_blocks + class.cached_blocks;
        Amount { blocks: sum.blocks + blocks, bytes: sum.bytes + blocks * class.block_bytes }
    });
    let [allocated, freed] = flows(out, (large_allocated, large_freed, large_bytes), left);
    let [used_percent, waiting_percent] = cgroup::reading();
    Stats {
        classes,
        large_bytes,
        huge_blocks: huge_blocks.saturating_sub(held_back),
        huge_bytes: huge_bytes.saturating_sub(held_back_bytes),
        cached_bytes,
        mapped_bytes: address_space::mapped(),
        committed_bytes: COMMITTED.bytes().max(free),
        free_bytes: free,
        purged_bytes: usage::purged(),
        metadata_bytes: metadata::used(),
        allocated,
        freed,
        peak_committed_bytes: COUNTERS.peak_committed.get(),
        threads: helped::caches(),
        peak_threads: COUNTERS.peak_threads.get(),
        purges: COUNTERS.purges.get(),
        refusals: COUNTERS.refusals.get(),
        limit_bytes: COMMITTED.limit(),
        limit_exceeded: COUNTERS.soft_limit.get(),
        hard_limit_bytes: COMMITTED.hard_limit(),
        hard_limit_refusals: COUNTERS.hard_limit.get(),
        container: Container {
            limit_bytes: cgroup::limit(),
            used_percent,
            waiting_percent,
            is_short: cgroup::is_short(),
            is_scarce: cgroup::is_scarce(),
        },
    }
}

//! What the physical memory of the process is used for: each byte is in one row of a
//! table, and the largest cause is explained in words. `residency.rs` finds out which
//! pages are resident. The resident bytes of a class's spans are divided by the
//! counts of its blocks; free memory is divided into what may be kept and what waits
//! to be purged. The rest of RSS does not belong to the allocator.
//!
//! ```text
//!  resident, as the system says          divided by counts
//!  ├ spans in use, by class ───────────► live │ rounding │ cached │ free
//!  ├ free granules, free units ────────► free │ waiting
//!  ├ runs and huge blocks, clean pages, tables: rows of their own
//!  └ RSS less all these ───────────────► not the allocator's
//! ```

use core::fmt::{self, Display, Write};

use crate::base::lock::Wait;
use crate::base::own_stack;
use crate::base::size_class;
use crate::pages::usage;
use crate::process::options;
use crate::report::lines::Lines;
use crate::report::residency::{self, Residency};
use crate::report::stats::{self, ClassStats, Stats};
use crate::sys::{self, Rss};
use crate::thread::internal_fragmentation;

/// The part of a row that belongs to one size class, from
/// [`Explanation::largest_class`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassShare {
    /// Bytes of a block; 0 if no class has any bytes in the row.
    block_bytes: usize,
    /// Bytes of the class in a row.
    bytes: usize,
}

impl ClassShare {
    /// The size of each block of the class, in bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Bytes of the row that belong to the class.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A breakdown of the physical memory of the process by what it is used for,
/// from [`Strata::explain`](crate::Strata::explain).
///
/// It has a row for small live blocks, one for large live blocks, and one for
/// each [`Cause`]. All values are bytes of physical memory. The rows add up
/// exactly to [`Explanation::resident_bytes`].
///
/// Which pages are resident is asked of the system. A page of small blocks can
/// hold live and free ones, so the memory of a size class is divided by its block
/// counts. Blocks that were never written are counted but not resident: where
/// the counts exceed the resident memory, the thread caches' row is reduced
/// first, then that of the live blocks. While other threads allocate or free,
/// rows may be off by what they do meanwhile, and the row of [`Cause::Other`]
/// takes up the difference.
///
/// `Display` prints a table with one line for each row, followed by the largest
/// cause in words and what can be done about it. The wording is for people and
/// may change in any version.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Explanation {
    /// Physical memory of the process.
    resident_bytes: usize,
    /// Live blocks up to 32 KiB, without the rounding.
    live_small_bytes: usize,
    /// Live blocks above 32 KiB, in whole pages.
    live_large_bytes: usize,
    /// The row of [`Cause::Rounding`]; then those of the other causes.
    rounding_bytes: usize,
    cached_bytes: usize,
    span_free_bytes: usize,
    granule_free_bytes: usize,
    large_free_bytes: usize,
    waiting_bytes: usize,
    metadata_bytes: usize,
    clean_bytes: usize,
    other_bytes: usize,
    /// Parts of the heap that could not be looked at.
    missed: usize,
    /// The class with most of `rounding_bytes`; then likewise.
    rounding_most: ClassShare,
    cached_most: ClassShare,
    span_free_most: ClassShare,
}

/// What physical memory other than live blocks is used for: a row of an
/// [`Explanation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The difference between the sizes that the program asked for and those of
    /// the size classes that hold its live blocks. An estimate, from a sample of
    /// the requests.
    Rounding,
    /// Free blocks in thread caches.
    ThreadCaches,
    /// Free memory in spans that also hold live blocks: free blocks, blocks freed
    /// by another thread that have not reached their owner yet, and the ends of
    /// spans, where no block fits.
    FreeBlocks,
    /// Wholly free spans of small blocks, within the bound on free memory that
    /// the allocator keeps.
    FreeSpans,
    /// Free page runs and freed huge mappings, within that bound.
    FreeRuns,
    /// Free memory above that bound, which will be returned to the system.
    Waiting,
    /// The allocator's own tables and records.
    Metadata,
    /// Memory that is free and was never written, but is resident because it
    /// shares a huge page of the system with memory that was.
    HugePages,
    /// What does not belong to the allocator's heap: code, stacks, static data,
    /// and the program's own mappings.
    Other,
}

/// All causes, in the order of the rows.
const CAUSES: [Cause; 9] = [
    Cause::Rounding,
    Cause::ThreadCaches,
    Cause::FreeBlocks,
    Cause::FreeSpans,
    Cause::FreeRuns,
    Cause::Waiting,
    Cause::Metadata,
    Cause::HugePages,
    Cause::Other,
];

/// Reads all rows.
pub(crate) fn read() -> Explanation {
    read_beside(&stats::read(), Wait::Yes)
}

/// Reads all rows, in a handler of a signal: without waiting for a lock.
pub(super) fn read_at_once() -> Explanation {
    read_beside(&stats::read(), Wait::No)
}

/// Reads all rows, for statistics that were read just now.
pub(super) fn read_beside(stats: &Stats, wait: Wait) -> Explanation {
    let excess = usage::excess();
    let residency = residency::read(wait);
    let mut all = Explanation {
        live_large_bytes: residency.large,
        metadata_bytes: residency.metadata,
        clean_bytes: residency.clean,
        missed: residency.missed,
        ..Explanation::default()
    };
    for (class, counts) in stats.classes().iter().enumerate() {
        all.divide(class, counts, residency.spans[class]);
    }
    all.put_free(&residency, excess);
    all.fit(sys::rss());
    all
}

impl ClassShare {
    /// Becomes the share of `class`, if that is larger.
    fn or(&mut self, class: usize, bytes: usize) {
        if bytes > self.bytes {
            *self = ClassShare { block_bytes: size_class::size(class), bytes };
        }
    }
}

impl Explanation {
    /// Physical memory of the process (its RSS), in bytes. Where the system does
    /// not tell, because `/proc` cannot be read, the sum of the other rows, with
    /// [`Cause::Other`] at 0.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        self.resident_bytes
    }

    /// Bytes of live blocks up to 32 KiB, as the program asked for them, without
    /// what was added by rounding up to size classes ([`Cause::Rounding`]). An
    /// estimate, as that is.
    #[must_use]
    pub fn live_small_bytes(&self) -> usize {
        self.live_small_bytes
    }

    /// Bytes of live blocks above 32 KiB, rounded up to whole pages.
    #[must_use]
    pub fn live_large_bytes(&self) -> usize {
        self.live_large_bytes
    }

    /// Bytes of all live blocks: the sum of [`Explanation::live_small_bytes`] and
    /// [`Explanation::live_large_bytes`].
    #[must_use]
    pub fn live_bytes(&self) -> usize {
        self.live_small_bytes + self.live_large_bytes
    }

    /// Bytes in the row of a cause.
    #[must_use]
    pub fn bytes_of(&self, cause: Cause) -> usize {
        match cause {
            Cause::Rounding => self.rounding_bytes,
            Cause::ThreadCaches => self.cached_bytes,
            Cause::FreeBlocks => self.span_free_bytes,
            Cause::FreeSpans => self.granule_free_bytes,
            Cause::FreeRuns => self.large_free_bytes,
            Cause::Waiting => self.waiting_bytes,
            Cause::Metadata => self.metadata_bytes,
            Cause::HugePages => self.clean_bytes,
            Cause::Other => self.other_bytes,
        }
    }

    /// Every cause with the bytes in its row, in the order in which the table
    /// prints them. With [`Explanation::live_bytes`], they add up to
    /// [`Explanation::resident_bytes`].
    pub fn causes(&self) -> impl ExactSizeIterator<Item = (Cause, usize)> {
        CAUSES.into_iter().map(|cause| (cause, self.bytes_of(cause)))
    }

    /// The name of each row for programs, as in [`Metrics`](crate::Metrics), and its bytes, in
    /// the order of the table. They add up to [`Explanation::resident_bytes`].
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let live = [("live_small", self.live_small_bytes), ("live_large", self.live_large_bytes)];
        live.into_iter().chain(self.causes().map(|(cause, bytes)| (cause.label(), bytes)))
    }

    /// The rows and their sum as one JSON object, in one line: `{"all":…,"live_small":…}`. It
    /// allocates nothing.
    #[must_use]
    pub fn json(&self) -> impl Display {
        Json(self)
    }

    /// The cause with the most bytes.
    #[must_use]
    pub fn largest_cause(&self) -> Cause {
        let larger = |one, other| {
            if self.bytes_of(other) > self.bytes_of(one) { other } else { one }
        };
        CAUSES.into_iter().fold(Cause::Rounding, larger)
    }

    /// The size class with the most bytes in the row of a cause. `None` if the
    /// row is empty, or is not divided by size class:
    /// [`Cause::Rounding`], [`Cause::ThreadCaches`] and [`Cause::FreeBlocks`] are.
    #[must_use]
    pub fn largest_class(&self, cause: Cause) -> Option<ClassShare> {
        let most = match cause {
            Cause::Rounding => self.rounding_most,
            Cause::ThreadCaches => self.cached_most,
            Cause::FreeBlocks => self.span_free_most,
            _ => return None,
        };
        (most.bytes != 0).then_some(most)
    }

    /// Divides the resident bytes of the spans of a class.
    fn divide(&mut self, class: usize, counts: &ClassStats, resident: usize) {
        let block = counts.block_bytes();
        let live = resident.min(counts.live_blocks().saturating_mul(block));
        let cached = (resident - live).min(counts.cached_blocks().saturating_mul(block));
        let free = resident - live - cached;
        let rounding = internal_fragmentation::part_of(live, class).min(live);
        self.live_small_bytes += live - rounding;
        self.rounding_bytes += rounding;
        self.cached_bytes += cached;
        self.span_free_bytes += free;
        self.rounding_most.or(class, rounding);
        self.cached_most.or(class, cached);
        self.span_free_most.or(class, free);
    }

    /// Divides the resident free memory, of which `excess` bytes are above the
    /// bound: granules and units in proportion.
    fn put_free(&mut self, residency: &Residency, excess: usize) {
        let (granules, large) = (residency.granules, residency.large_free);
        let waiting = excess.min(granules + large);
        let share = waiting as u128 * granules as u128 / (granules + large).max(1) as u128;
        let of_granules = share as usize;
        self.waiting_bytes = waiting;
        self.granule_free_bytes = granules - of_granules;
        self.large_free_bytes = large - (waiting - of_granules);
    }

    /// Fits the rows to RSS; the rest is not ours. Our memory is anonymous. If the
    /// rows exceed the anonymous part of RSS, they count pages that were only read
    /// (the system's page of zeros), and are cut.
    fn fit(&mut self, rss: Option<Rss>) {
        let ours = self.sum();
        let Some(rss) = rss else {
            self.resident_bytes = ours;
            return;
        };
        let mut over = ours.saturating_sub(rss.anonymous.min(rss.all));
        for row in self.own_rows() {
            let cut = over.min(*row);
            *row -= cut;
            over -= cut;
        }
        self.resident_bytes = rss.all;
        self.other_bytes = rss.all - self.sum();
    }

    /// Our rows; first those with pages that may have been only read.
    fn own_rows(&mut self) -> [&mut usize; 10] {
        [
            &mut self.clean_bytes,
            &mut self.live_large_bytes,
            &mut self.live_small_bytes,
            &mut self.rounding_bytes,
            &mut self.cached_bytes,
            &mut self.span_free_bytes,
            &mut self.granule_free_bytes,
            &mut self.large_free_bytes,
            &mut self.waiting_bytes,
            &mut self.metadata_bytes,
        ]
    }

    /// The sum of the rows.
    fn sum(&self) -> usize {
        self.live_bytes() + self.causes().map(|(_, bytes)| bytes).sum::<usize>()
    }
}

impl Cause {
    /// The name of the row.
    const fn name(self) -> &'static str {
        match self {
            Cause::Rounding => "rounding to classes",
            Cause::ThreadCaches => "thread caches",
            Cause::FreeBlocks => "free blocks in spans",
            Cause::FreeSpans => "free spans",
            Cause::FreeRuns => "free runs and mappings",
            Cause::Waiting => "waiting for purge",
            Cause::Metadata => "tables and records",
            Cause::HugePages => "clean, in huge pages",
            Cause::Other => "not the allocator's",
        }
    }

    /// The name of the row for programs; it stays the same.
    const fn label(self) -> &'static str {
        match self {
            Cause::Rounding => "rounding",
            Cause::ThreadCaches => "thread_caches",
            Cause::FreeBlocks => "free_blocks",
            Cause::FreeSpans => "free_spans",
            Cause::FreeRuns => "free_runs",
            Cause::Waiting => "waiting",
            Cause::Metadata => "metadata",
            Cause::HugePages => "huge_pages",
            Cause::Other => "other",
        }
    }

    /// Why such memory is resident, and what helps.
    const fn advice(self) -> &'static str {
        match self {
            Cause::Rounding => {
                "Sizes are rounded up to a size class; sizes just below a class waste least."
            }
            Cause::ThreadCaches => {
                "Each thread caches free blocks. Fewer threads cache fewer; `Strata::purge` \
                 (in C `malloc_trim`) requests that all threads flush their caches."
            }
            Cause::FreeBlocks => {
                "Live blocks keep the pages that they share with freed ones. Long-lived blocks \
                 keep fewer if they are allocated together, before short-lived ones."
            }
            Cause::FreeSpans | Cause::FreeRuns => {
                "It is kept for reuse, up to an eighth of what is live, or 4 MiB if that is \
                 more; `Strata::purge` (in C `malloc_trim`) returns it to the system."
            }
            Cause::Waiting => {
                "The helper thread returns it to the system within a second, unless it is \
                 reused; `Strata::purge` (in C `malloc_trim`) does so now."
            }
            Cause::Metadata => {
                "It grows with the peak of memory and of threads, and never shrinks."
            }
            Cause::HugePages => {
                "The system used huge pages where small ones were requested; \"madvise\" in \
                 /sys/kernel/mm/transparent_hugepage/enabled prevents that."
            }
            Cause::Other => {
                "It is code, stacks, static data, and the program's own mappings; \
                 /proc/self/smaps lists them."
            }
        }
    }
}

/// A number of bytes, shown in the unit of the whole table. A width in the format
/// is that of the digits before the point.
struct Amount {
    bytes: usize,
    in_mib: bool,
}

/// A table of more than this is in MiB, one of less in KiB.
const IN_MIB: usize = 64 << 20;

impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = if self.in_mib { (1 << 20, "MiB") } else { (1 << 10, "KiB") };
        let tenths = (self.bytes as u128 * 10 + unit / 2) / unit;
        let width = f.width().unwrap_or(0);
        write!(f, "{:>width$}.{} {name}", tenths / 10, tenths % 10)
    }
}

impl Explanation {
    fn amount(&self, bytes: usize) -> Amount {
        Amount { bytes, in_mib: self.resident_bytes > IN_MIB }
    }

    /// One line of the table.
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, bytes: usize) -> fmt::Result {
        let whole = self.resident_bytes.max(1) as u128;
        let tenths = (bytes as u128 * 1000 + whole / 2) / whole;
        let (percent, tenth) = (tenths / 10, tenths % 10);
        writeln!(f, "  {name:<24}{:>8}  {percent:>3}.{tenth} %", self.amount(bytes))
    }

    /// The largest cause in words.
    fn say_why(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = self.largest_cause();
        let bytes = self.bytes_of(cause);
        let most = bytes > (self.resident_bytes - self.live_bytes()) / 2;
        let much = if most { "Most" } else { "The largest part" };
        write!(f, "{much} of what is not live is {}: {}", cause.name(), self.amount(bytes))?;
        if let Some(most) = self.largest_class(cause) {
            let ClassShare { block_bytes, bytes } = most;
            write!(f, ", the largest share in class {block_bytes} ({})", self.amount(bytes))?;
        }
        writeln!(f, ".\n{}", cause.advice())
    }
}

struct Json<'a>(&'a Explanation);

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"all\":{}", self.0.resident_bytes())?;
        self.0.rows().try_for_each(|(row, bytes)| write!(f, ",\"{row}\":{bytes}"))?;
        write!(f, "}}")
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Memory of the process, by what it is held for:")?;
        self.row(f, "live, up to 32 KiB", self.live_small_bytes)?;
        self.row(f, "live, above 32 KiB", self.live_large_bytes)?;
        for (cause, bytes) in self.causes() {
            self.row(f, cause.name(), bytes)?;
        }
        self.row(f, "all", self.resident_bytes)?;
        if self.missed != 0 {
            writeln!(
                f,
                "{} parts of the heap were being changed: their free memory is in other rows.",
                self.missed
            )?;
        }
        self.say_why(f)
    }
}

/// Runs [`ending`] when the process ends, or when a library with its own allocator
/// is unloaded. The linker's table of such functions works alike in programs and in
/// the C library, and needs no registration.
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = ending;

extern "C" fn ending() {
    if options::stats_at_exit() {
        stats::print();
    }
    if options::explain_at_exit() {
        let _ = own_stack::run(|| write!(Lines::new(""), "strata: {}", read()));
    }
}

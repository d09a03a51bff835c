//! Which chunks of the window's addresses are taken: one bit a chunk, under a lock.
//! Whoever takes chunks maps memory there, without the lock.
//!
//! The system limits the mappings of a process, and other parts of it need some.
//! Neighbouring chunks form one mapping. A free stretch between taken chunks adds one,
//! and so does a huge block that ends within a chunk. Once there are many, huge blocks
//! take their last chunk whole, and chunks between taken ones are not unmapped; nor are
//! they where the system refuses. Such chunks are *spare*: taken, purged, and the first
//! to be used again.

use core::ptr;

use crate::base::bits;
use crate::base::geometry::{AREA_PART, CHUNK, REGIONS, STAGE};
use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::sync::{AtomicUsize, Guarded};
use crate::pages::tables;
use crate::pages::thp;
use crate::spans::page_map::MAP;
use crate::sys::{self, MapError};

struct Space {
    lock: Lock,
    taken: Guarded<Taken>,
    /// Bytes that the allocator has mapped in the window.
    mapped: AtomicUsize,
}

/// \[SPACE-LOCKED\] One bit a chunk; set: the chunk is taken.
struct Taken {
    words: *mut u64,
    /// Chunks in the window so far.
    chunks: usize,
    /// Chunks that it can have.
    most: usize,
    /// Bytes of a region.
    region: usize,
    /// All chunks below this one are taken.
    low: usize,
    /// One bit a chunk; set: the chunk is spare.
    spares: *mut u64,
    /// Number of spare chunks.
    spare: usize,
    /// Free stretches between taken chunks, and the one behind the last.
    gaps: usize,
    /// Mappings that end within a chunk.
    rests: usize,
}

// SAFETY: [SPACE-LOCKED] the bits are touched only under the lock.
unsafe impl Sync for Space {}

static SPACE: Space = Space {
    lock: Lock::new(),
    taken: Guarded::new(Taken::new([ptr::null_mut(); 2], 0, 0)),
    mapped: AtomicUsize::new(0),
};

/// The window may use one in so many of the mappings that a process may have.
const SHARE: usize = 2;
/// Up to so many mappings, the system's limit is not read.
const FEW: usize = 1 << 12;

/// How many mappings a process may have: the system's default, until
/// [`read_mapping_limit`] has read it.
static MAPPING_LIMIT: AtomicUsize = AtomicUsize::new(sys::DEFAULT_MAPPING_LIMIT);

/// Attempts to map before the addresses count as full: some tens of milliseconds. What
/// was found taken is not tried again.
const ATTEMPTS: usize = 1 << 16;

/// Foreign mappings in a row, after which twice as many chunks are passed over at each.
const IN_A_ROW: usize = 16;

/// Most chunks that are passed over at once.
const STRIDE: usize = 1 << 13;

/// Begins with a window that ends with `space` bytes of addresses, which are divided into
/// regions. Its tables are opened. Called while no other thread runs.
pub(crate) fn begin(space: usize) {
    let most = (space - MAP.chunk_base(0).addr()) / CHUNK;
    SPACE.taken.with(|taken| {
        // SAFETY: no other thread runs yet.
        let taken = unsafe { &mut *taken };
        *taken = Taken::new(tables::bits(), most, space / REGIONS);
        taken.grow();
    });
}

fn locked<R>(f: impl FnOnce(&mut Taken) -> R) -> Option<R> {
    let _held = SPACE.lock.lock()?;
    // SAFETY: [SPACE-LOCKED].
    Some(SPACE.taken.with(|taken| f(unsafe { &mut *taken })))
}

/// Whether the calling thread is changing which chunks are taken: in a signal handler,
/// what it interrupted may. Then nothing can be taken or given back.
pub(crate) fn is_held_here() -> bool {
    SPACE.lock.is_held_here()
}

/// Takes `count` chunks of addresses, the first a multiple of `align` chunks.
pub(crate) fn take(count: usize, align: usize) -> Option<usize> {
    locked(|taken| taken.take(count, align))?
}

/// Takes `count` chunks of addresses from chunk `at`, if all are free.
pub(super) fn take_at(at: usize, count: usize) -> bool {
    locked(|taken| {
        let free = at + count <= taken.chunks && taken.first_taken(at, count).is_none();
        if free {
            taken.mark(at, count, true);
        }
        free
    })
    .unwrap_or(false)
}

/// Frees chunks of addresses. Nothing of ours is mapped there any more.
pub(crate) fn give_back(at: usize, count: usize) {
    locked(|taken| {
        taken.mark(at, count, false);
        taken.low = taken.low.min(at);
    });
}

/// A mapping that [`map`] made.
#[derive(Clone, Copy)]
pub(super) struct Mapped {
    /// The first chunk.
    pub(super) at: usize,
    /// Bytes mapped from there: the requested ones, or all of the chunks.
    pub(super) bytes: usize,
}

/// Takes `count` chunks of addresses and maps the first `bytes` there: fresh, zeroed
/// memory. The caller holds no lock.
pub(super) fn map(count: usize, align: usize, bytes: usize) -> Option<Mapped> {
    let whole = bytes.next_multiple_of(CHUNK);
    if count * CHUNK == whole
        && let Some(at) = locked(|taken| taken.take_spares(count, align))?
    {
        // SAFETY: the chunks were spare, and are ours now.
        if unsafe { sys::commit(MAP.chunk_base(at), whole) } {
            SPACE.mapped.fetch_add(whole, ordering::mapped_bytes());
            return Some(Mapped { at, bytes: whole });
        }
        locked(|taken| taken.set_spares(at, count));
    }
    let bytes = if locked(|taken| taken.are_many())? { whole } else { bytes };
    for attempt in 0..ATTEMPTS {
        let at = take(count, align)?;
        if !tables::make_readable(at + bytes.div_ceil(CHUNK)) {
            give_back(at, count);
            return None;
        }
        // SAFETY: the addresses are ours to use; nothing of ours is there.
        match unsafe { sys::map_at(MAP.chunk_base(at), bytes) } {
            Ok(()) => {
                thp::mapped(MAP.chunk_base(at), bytes);
                resized(0, bytes);
                return Some(Mapped { at, bytes });
            }
            // A foreign mapping: its addresses stay taken for good, and more behind it if
            // there are many.
            Err(MapError::Taken) => pass_over(at + count, attempt / IN_A_ROW),
            Err(MapError::NoMemory) => {
                give_back(at, count);
                return None;
            }
        }
    }
    None
}

/// Passes over chunks from `at` on, `2^log` of them, as far as they are free.
fn pass_over(at: usize, log: usize) {
    if log != 0 {
        locked(|taken| {
            let most = STRIDE.min(1 << log.min(STRIDE.ilog2() as usize));
            let end = taken.chunks.min(at + most);
            let count = taken.first_taken_before(at, end) - at.min(end);
            taken.mark(at, count, true);
        });
    }
}

/// Unmaps what [`map`] mapped. Where that would make too many mappings, or the system
/// refuses, it purges the chunks and makes them spare.
///
/// # Safety
/// Nobody uses the memory any more.
pub(crate) unsafe fn unmap(at: usize, count: usize, bytes: usize) {
    let base = MAP.chunk_base(at);
    resized(bytes, 0);
    let keep = bytes == count * CHUNK && locked(|taken| taken.splits(at, count)) == Some(true);
    // SAFETY: by the caller.
    if !keep && unsafe { sys::release(base, bytes) } {
        give_back(at, count);
        return;
    }
    // SAFETY: likewise.
    if unsafe { sys::purge(base, bytes) } {
        // A chunk that is mapped in part stays taken.
        locked(|taken| taken.set_spares(at, bytes / CHUNK));
        give_back(at + bytes.div_ceil(CHUNK), count - bytes.div_ceil(CHUNK));
    }
}

/// Reads the system's limit on mappings, if the window has so many that it matters. The
/// helper calls this: no descriptor is opened on a thread of the program.
pub(crate) fn read_mapping_limit() {
    if locked(|taken| taken.mappings() >= FEW) == Some(true) {
        MAPPING_LIMIT.store(sys::mapping_limit(), ordering::mapping_limit());
    }
}

/// Unmaps spare chunks, as far as the system now allows.
pub(crate) fn unmap_spares() {
    while let Some(Some(at)) = locked(Taken::take_spare_at_end) {
        // SAFETY: the chunk was spare, and is ours now.
        if !unsafe { sys::release(MAP.chunk_base(at), CHUNK) } {
            locked(|taken| taken.set_spares(at, 1));
            return;
        }
        give_back(at, 1);
    }
}

/// Records that a mapping in the window grew or shrank.
pub(super) fn resized(old: usize, new: usize) {
    SPACE.mapped.fetch_add(new.wrapping_sub(old), ordering::mapped_bytes());
    let [old, new] = [old, new].map(|bytes| usize::from(!bytes.is_multiple_of(CHUNK)));
    if old != new {
        locked(|taken| taken.rests = taken.rests + new - old);
    }
}

/// Bytes mapped for blocks.
pub(crate) fn mapped() -> usize {
    SPACE.mapped.load(ordering::mapped_bytes())
}

/// In the child of a fork: frees an orphaned lock. Each bit is valid by itself.
pub(crate) fn after_fork() {
    if SPACE.lock.is_orphaned() {
        SPACE.lock.force_unlock();
    }
}

/// Whether a chunk is taken. Called in the child of a fork, where no other thread runs.
pub(crate) fn is_taken(at: usize) -> bool {
    // SAFETY: [SPACE-LOCKED] no other thread runs.
    SPACE.taken.with(|taken| unsafe { &*taken }.is_taken(at))
}

impl Taken {
    const fn new([words, spares]: [*mut u64; 2], most: usize, region: usize) -> Self {
        let (chunks, low, spare, gaps, rests) = (0, 0, 0, 1, 0);
        Taken { words, chunks, most, region, low, spares, spare, gaps, rests }
    }

    /// Makes the window larger by a stage. The areas for tables of all regions in it are
    /// taken: other copies of the allocator may have theirs there. Returns false if it
    /// cannot grow.
    #[cold]
    fn grow(&mut self) -> bool {
        let now = self.chunks;
        if now == self.most || tables::open_stage(now + STAGE).is_err() {
            return false;
        }
        let end = self.most.min(now + STAGE);
        self.chunks = end;
        let base = MAP.chunk_base(0).addr();
        let chunk_at = |at: usize| (at.saturating_sub(base) / CHUNK).clamp(now, end);
        let region = self.region;
        let area = region * REGIONS / AREA_PART;
        let regions = (base + now * CHUNK) / region..=(base + end * CHUNK) / region;
        for start in regions.map(|index| index * region) {
            let (from, to) = (chunk_at(start), chunk_at(start + area));
            self.mark(from, to - from, true);
        }
        true
    }

    /// Whether there are about as many mappings as the window may use.
    fn are_many(&self) -> bool {
        let mappings = self.mappings();
        mappings >= FEW && mappings >= MAPPING_LIMIT.load(ordering::mapping_limit()) / SHARE
    }

    /// About as many mappings the window has.
    fn mappings(&self) -> usize {
        self.gaps + self.rests
    }

    /// Whether unmapping these chunks would add a mapping, while there are many.
    fn splits(&self, at: usize, count: usize) -> bool {
        self.are_many() && self.is_taken_before(at) && self.is_taken(at + count)
    }

    fn is_taken_before(&self, at: usize) -> bool {
        at.checked_sub(1).is_none_or(|before| self.is_taken(before))
    }

    fn is_taken(&self, at: usize) -> bool {
        at < self.chunks && self.word(at) >> (at % 64) & 1 != 0
    }

    /// Takes `count` neighbouring spare chunks, the first a multiple of `align` chunks,
    /// if there are any.
    #[inline]
    fn take_spares(&mut self, count: usize, align: usize) -> Option<usize> {
        if self.spare < count {
            return None;
        }
        self.find_spares(count, align)
    }

    #[cold]
    fn find_spares(&mut self, count: usize, align: usize) -> Option<usize> {
        let (mut first, mut at) = (0, 0);
        while at < self.chunks {
            if self.spare_word(at) == 0 {
                at = (at / 64 + 1) * 64;
                first = at.next_multiple_of(align);
                continue;
            }
            if !self.is_spare(at) {
                first = (at + 1).next_multiple_of(align);
            } else if at + 1 == first + count {
                self.unset_spares(first, count);
                return Some(first);
            }
            at += 1;
        }
        None
    }

    /// Takes the last spare chunk that has a free neighbour, or just the last one while
    /// there are few mappings.
    #[cold]
    fn take_spare_at_end(&mut self) -> Option<usize> {
        if self.spare == 0 {
            return None;
        }
        let words = (0..self.chunks / 64).rev().filter(|i| self.spare_word(i * 64) != 0);
        let mut chunks = words.flat_map(|i| (i * 64..i * 64 + 64).rev());
        let at = chunks.find(|&at| self.is_spare(at) && !self.splits(at, 1))?;
        self.unset_spares(at, 1);
        Some(at)
    }

    fn spare_word(&self, at: usize) -> u64 {
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { self.spares.add(at / 64).read() }
    }

    fn is_spare(&self, at: usize) -> bool {
        self.spare_word(at) >> (at % 64) & 1 != 0
    }

    fn set_spares(&mut self, at: usize, count: usize) {
        for chunk in at..at + count {
            // SAFETY: [SPACE-LOCKED] the table covers the window.
            unsafe { set(self.spares, chunk, true) };
        }
        self.spare += count;
    }

    fn unset_spares(&mut self, at: usize, count: usize) {
        for chunk in at..at + count {
            // SAFETY: [SPACE-LOCKED] the table covers the window.
            unsafe { set(self.spares, chunk, false) };
        }
        self.spare -= count;
    }

    fn word(&self, at: usize) -> u64 {
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { self.words.add(at / 64).read() }
    }

    fn take(&mut self, count: usize, align: usize) -> Option<usize> {
        loop {
            let at = self.find(count, align);
            if at.is_some() || !self.grow() {
                return at;
            }
        }
    }

    fn find(&mut self, count: usize, align: usize) -> Option<usize> {
        let mut at = self.next_free(self.low);
        self.low = at;
        loop {
            at = at.next_multiple_of(align);
            if at.checked_add(count)? > self.chunks {
                return None;
            }
            match self.first_taken(at, count) {
                None => break,
                Some(taken) => at = self.next_free(taken + 1),
            }
        }
        self.mark(at, count, true);
        Some(at)
    }

    /// The first free chunk at or after `at`, or the window's end.
    fn next_free(&self, at: usize) -> usize {
        bits::next_clear(|i| self.word(i * 64), at, self.chunks).unwrap_or(self.chunks)
    }

    /// The first taken chunk from `from` on, or else `end`.
    fn first_taken_before(&self, from: usize, end: usize) -> usize {
        bits::next_set(|i| self.word(i * 64), from, end).unwrap_or(end)
    }

    /// The first taken chunk among the `count` from `from`.
    fn first_taken(&self, from: usize, count: usize) -> Option<usize> {
        bits::next_set(|i| self.word(i * 64), from, from + count)
    }

    fn mark(&mut self, at: usize, count: usize, taken: bool) {
        if count == 0 {
            return;
        }
        // One free stretch becomes none, one or two; or the other way round.
        let beside =
            usize::from(!self.is_taken_before(at)) + usize::from(!self.is_taken(at + count));
        self.gaps = if taken { self.gaps + beside - 1 } else { self.gaps + 1 - beside };
        for chunk in at..at + count {
            // SAFETY: [SPACE-LOCKED] the table covers the window.
            unsafe { set(self.words, chunk, taken) };
        }
    }
}

/// # Safety
/// \[SPACE-LOCKED\] The table covers the window.
unsafe fn set(words: *mut u64, at: usize, value: bool) {
    // SAFETY: by the caller.
    let word = unsafe { &mut *words.add(at / 64) };
    let bit = 1 << (at % 64);
    *word = if value { *word | bit } else { *word & !bit };
}

//! Medium blocks, 32 KiB to 1 MiB, or from 16 KiB if they grew: runs of units (4 KiB) in chunks
//! of their own. A bitmap of free units splits and coalesces them. A run grows in place where
//! the units behind it are free. One that is alone in its chunk becomes a huge block, where it
//! is, to grow beyond 1 MiB.
//!
//! ```text
//!  chunk   │ run A    │ free  │ run B │ free            │   512 units
//!  free    │0000000000│1111111│0000000│11111111111111111│   one bit a unit
//!  lens    │10        │       │7      │                 │   at a run's first unit
//! ```

use core::ptr::{self, NonNull};

use crate::base::bits;
use crate::base::geometry::{CHUNK, CHUNK_UNITS, GRANULE, UNIT};
use crate::base::lock::{Lock, Wait};
use crate::base::misuse::{Location, Misuse, Report};
use crate::base::ordering;
use crate::base::shadow;
use crate::base::sync::{self, AtomicU16, AtomicU32, Guarded};
use crate::pages::address_space::{self, Mapped};
use crate::pages::chunk_metadata;
use crate::pages::committed::{COMMITTED, Refused};
use crate::pages::counters::COUNTERS;
use crate::pages::usage;
use crate::spans::page_map::{self, MAP};

pub(super) const WORDS: usize = CHUNK_UNITS / 64;
/// Lists of chunks, by the logarithm of their longest free run.
pub(super) const LISTS: usize = CHUNK_UNITS.trailing_zeros() as usize + 1;
/// Chunks examined per list: the longest run of each may or may not fit.
const LOOKS: usize = 8;

/// One bit a unit of a chunk.
pub(super) type Bits = [u64; WORDS];

/// The page runs of one arena, on cache lines of their own.
#[repr(align(64))]
pub(crate) struct PageRuns {
    /// The id of the arena. Written once, before other threads know of it.
    id: AtomicU32,
    pub(super) lock: Lock,
    pub(super) lists: Guarded<Lists>,
}

// SAFETY: [RUNS-LOCKED] the lists are touched only under the lock.
unsafe impl Sync for PageRuns {}

/// \[RUNS-LOCKED\] Touched only under the lock of the arena's runs.
pub(super) struct Lists {
    pub(super) heads: [*mut Runs; LISTS],
}

/// The state of a chunk of page runs \[RUNS-LOCKED\].
pub(super) struct Runs {
    next: *mut Runs,
    prev: *mut Runs,
    pub(super) chunk: usize,
    /// Units of the longest free run.
    pub(super) longest: usize,
    /// Free units.
    pub(super) free: Bits,
    /// Free units that are known to be zero.
    pub(super) clean: Bits,
}

/// At the first unit of a run in use, the number of its units; elsewhere 0. Changed
/// under the lock; read without it by whoever has the run.
type Lens = [AtomicU16; CHUNK_UNITS];

/// The layout of a record in memory.
#[repr(C)]
struct Record {
    runs: Runs,
    lens: Lens,
}

const _: () = assert!(core::mem::offset_of!(Record, lens) == size_of::<Runs>());
const _: () = assert!(size_of::<Record>() <= chunk_metadata::RUNS);

/// The lengths of the runs on a record.
fn lens(record: NonNull<Runs>) -> &'static Lens {
    // SAFETY: [RUNS-LOCKED] in a record in use the lengths follow the runs; they are
    // atomics, and nothing else refers to them.
    unsafe { record.byte_add(size_of::<Runs>()).cast::<Lens>().as_ref() }
}

pub(super) fn len(record: NonNull<Runs>, first: usize) -> usize {
    lens(record)[first].load(ordering::run_len()).into()
}

fn set_len(record: NonNull<Runs>, first: usize, units: usize) {
    lens(record)[first].store(units as u16, ordering::run_len());
}

/// A run handed out, and which units of the chunk were known to be zero.
pub(crate) struct Run {
    pub(crate) ptr: *mut u8,
    pub(crate) units: usize,
    first: usize,
    clean: Bits,
}

/// Units for a block of `size` bytes.
pub(crate) const fn units(size: usize) -> usize {
    size.div_ceil(UNIT)
}

impl PageRuns {
    pub(crate) const fn new() -> Self {
        PageRuns {
            id: AtomicU32::new(0),
            lock: Lock::new(),
            lists: Guarded::new(Lists { heads: [ptr::null_mut(); LISTS] }),
        }
    }

    /// Sets the id of the arena, before other threads know of it.
    pub(super) fn set_id(&self, id: u32) {
        self.id.store(id, ordering::runs_id());
    }

    fn locked<R>(&self, f: impl FnOnce(&mut Lists) -> R) -> Option<R> {
        self.locked_as(Wait::Yes, f)
    }

    fn locked_as<R>(&self, wait: Wait, f: impl FnOnce(&mut Lists) -> R) -> Option<R> {
        let _held = self.lock.lock_as(wait)?;
        // SAFETY: [RUNS-LOCKED].
        Some(self.lists.with(|lists| f(unsafe { &mut *lists })))
    }

    /// Whether the calling thread is changing these runs: in a signal handler, what it
    /// interrupted may.
    pub(crate) fn is_held_here(&self) -> bool {
        self.lock.is_held_here()
    }

    /// Takes a free run of `units` that starts at a multiple of `align` units, if there is one
    /// among the chunks of these runs. `None`: the limit refuses, or the lock cannot be had.
    pub(super) fn get(&self, units: usize, align: usize) -> Option<Option<Run>> {
        let run = self.locked(|lists| lists.get(units, align))?.ok()?;
        if let Some(run) = &run {
            usage::took_large(run.units * UNIT, run.dirty_bytes());
        }
        Some(run)
    }

    /// Adds a chunk that the caller took. `None`: it could not be added, and is spare.
    #[cold]
    pub(super) fn add(&self, mapped: Mapped) -> Option<()> {
        let Mapped { at: chunk, dirty, .. } = mapped;
        let Some(record) = chunk_metadata::ensure_runs(MAP.chunk(chunk)) else {
            address_space::keep(chunk, 1, dirty);
            return None;
        };
        let record = record.cast::<Record>();
        let mut clean = [u64::MAX; WORDS];
        set(&mut clean, 0, units(dirty), false);
        let runs = Runs {
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            chunk,
            longest: CHUNK_UNITS,
            free: [u64::MAX; WORDS],
            clean,
        };
        // SAFETY: the place is the chunk's, which is ours, and large enough.
        unsafe { record.write(Record { runs, lens: [const { AtomicU16::new(0) }; CHUNK_UNITS] }) };
        // In the child of a fork, entries that lead to the record find it.
        sync::in_order();
        let record = record.cast::<Runs>();
        usage::grew_to(address_space::mapped());
        // Under the lock, no page fault.
        MAP.set(MAP.chunk_base(chunk), CHUNK / GRANULE, 0);
        let added = self.locked(|lists| {
            let entry = page_map::entry_of(self.id.load(ordering::runs_id()), page_map::MEDIUM);
            MAP.set(MAP.chunk_base(chunk), CHUNK / GRANULE, entry);
            // SAFETY: [RUNS-LOCKED], and the record is on no list.
            unsafe { lists.link(record) };
        });
        if added.is_none() {
            address_space::keep(chunk, 1, dirty);
        }
        added
    }

    /// Frees a run, after a check that it is one of `units`. `None` if the lock cannot be
    /// had; then nothing was done.
    pub(crate) fn put(
        &self,
        ptr: *mut u8,
        units: usize,
        size: usize,
    ) -> Option<Result<(), Report>> {
        let record = match record_of(ptr) {
            Ok(record) => record,
            Err(report) => return Some(Err(report)),
        };
        let first = (ptr.addr() % CHUNK) / UNIT;
        self.locked(|lists| {
            // SAFETY: [RUNS-LOCKED] the entry led to this arena's record.
            let runs = unsafe { &mut *record.as_ptr() };
            check(runs, ptr, len(record, first), units, size)?;
            set_len(record, first, 0);
            // SAFETY: [RUNS-LOCKED] the record is on our lists.
            unsafe { lists.release(record, first, units, false) };
            Ok(())
        })
    }

    /// Resizes the run at `ptr` to `new` units in place. Returns whether it could.
    pub(crate) fn resize(
        &self,
        ptr: *mut u8,
        old: usize,
        new: usize,
        size: usize,
    ) -> Result<bool, Refused> {
        let record = record_of(ptr).unwrap_or_else(|report| report.abort());
        let first = (ptr.addr() % CHUNK) / UNIT;
        let grown = self.locked(|lists| {
            // SAFETY: [RUNS-LOCKED] as above.
            let runs = unsafe { &mut *record.as_ptr() };
            if let Err(report) = check(runs, ptr, len(record, first), old, size) {
                return Err(Unchanged::Misuse(report));
            }
            if new < old {
                set_len(record, first, new);
                // SAFETY: [RUNS-LOCKED] as above.
                unsafe { lists.release(record, first + new, old - new, false) };
                return Ok(Some(0));
            }
            if first + new > CHUNK_UNITS || !all(&runs.free, first + old, new - old) {
                return Ok(None);
            }
            let clean = count(&runs.clean, first + old, new - old);
            COMMITTED.charge(clean * UNIT).map_err(Unchanged::Refused)?;
            // SAFETY: [RUNS-LOCKED] as above.
            unsafe { lists.occupy(record, first + old, new - old) };
            sync::in_order();
            set_len(record, first, new);
            Ok(Some((new - old - clean) * UNIT))
        });
        let grown = grown.transpose().map_err(|unchanged| match unchanged {
            Unchanged::Refused(refused) => refused,
            Unchanged::Misuse(report) => report.abort(),
        });
        Ok(match grown?.flatten() {
            None => false,
            Some(dirty) => {
                if new < old {
                    usage::gave_large((old - new) * UNIT, (old - new) * UNIT);
                } else {
                    usage::took_large((new - old) * UNIT, dirty);
                    COUNTERS.large.bytes.add((new - old) * UNIT);
                }
                true
            }
        })
    }

    /// Takes a chunk off these runs if the run at `ptr`, of `units`, starts it and is alone there.
    /// `promote` is told what of the rest may hold memory, and gives the chunk another entry, or
    /// refuses. Returns whether it was taken.
    pub(super) fn take_only_run(
        &self,
        ptr: *mut u8,
        units: usize,
        promote: impl FnOnce(Dirty) -> bool,
    ) -> bool {
        let chunk = MAP.chunk_index(ptr);
        let take = |lists: &mut Lists| {
            let record = record_in(chunk).filter(|_| self.has(chunk))?;
            // SAFETY: [RUNS-LOCKED] records of our chunks are on our lists.
            let runs = unsafe { record.as_ref() };
            let only = ptr.addr().is_multiple_of(CHUNK)
                && len(record, 0) == units
                && runs.longest == CHUNK_UNITS - units;
            if !only || !promote(dirty(&runs.free, &runs.clean)) {
                return None;
            }
            // SAFETY: [RUNS-LOCKED] as above.
            unsafe { lists.unlink(record) };
            set_len(record, 0, 0);
            Some(())
        };
        self.locked(take).flatten().is_some()
    }

    /// Whether a chunk is one of these runs. Asked under the lock, under which that changes:
    /// since the caller looked, the chunk may have become another arena's, or one of spans.
    fn has(&self, chunk: usize) -> bool {
        let entry = page_map::entry_of(self.id.load(ordering::runs_id()), page_map::MEDIUM);
        MAP.entry(MAP.chunk_base(chunk)) == entry
    }

    /// The free units of a chunk, if it is one of these runs. `None`: the lock cannot be had.
    pub(crate) fn free(&self, chunk: usize, wait: Wait) -> Option<Option<Free>> {
        self.locked_as(wait, |_| {
            let record = record_in(chunk).filter(|_| self.has(chunk))?;
            // SAFETY: [RUNS-LOCKED] records of our chunks are on our lists.
            let runs = unsafe { record.as_ref() };
            Some(Free { free: runs.free, clean: runs.clean })
        })
    }

    /// Purges the free units of a chunk, if it is one of these runs, and unmaps the chunk if
    /// all are free. Returns how many bytes.
    pub(crate) fn purge(&self, chunk: usize, page: usize) -> usize {
        // Purged first: the child of a fork cannot tell whether a vanished thread has
        // unmapped the chunk, and leaves it mapped.
        let purged = self.purge_units(chunk, page);
        usage::cleaned(purged);
        purged + self.unmap_if_free(chunk)
    }

    fn purge_units(&self, chunk: usize, page: usize) -> usize {
        let begin =
            |lists: &mut Lists| if self.has(chunk) { lists.begin_purge(chunk, page) } else { None };
        let Some(Some((record, bits))) = self.locked(begin) else { return 0 };
        let base = MAP.chunk_base(chunk);
        let mut purged = 0;
        for (first, len) in runs_of(&bits) {
            // SAFETY: these units are marked in use, and no block is there.
            let clean = unsafe { crate::sys::purge(base.add(first * UNIT), len * UNIT) };
            purged += if clean { len * UNIT } else { 0 };
            self.locked(|lists| {
                // SAFETY: [RUNS-LOCKED] a record with units in use stays on our lists.
                unsafe { lists.release(record, first, len, clean) }
            });
        }
        purged
    }

    fn unmap_if_free(&self, chunk: usize) -> usize {
        let take = |lists: &mut Lists| if self.has(chunk) { lists.take_free(chunk) } else { None };
        let Some(Some(dirty)) = self.locked(take) else { return 0 };
        // SAFETY: the chunk is off the lists, and all free.
        let left = unsafe { address_space::unmap(chunk, 1, CHUNK) };
        usage::unmapped(dirty.bytes, left);
        dirty.bytes
    }

    /// Takes a chunk off these runs whose units are all free, if there is one.
    pub(super) fn take_free_chunk(&self) -> Option<(usize, Dirty)> {
        let take = |lists: &mut Lists| {
            // SAFETY: [RUNS-LOCKED] it is on our list.
            let chunk = unsafe { lists.heads[LISTS - 1].as_ref() }?.chunk;
            lists.take_free(chunk).map(|dirty| (chunk, dirty))
        };
        self.locked(take)?
    }
}

/// Why a run was not resized.
enum Unchanged {
    Refused(Refused),
    Misuse(Report),
}

/// What of the free units of a chunk may hold memory.
pub(super) struct Dirty {
    pub(super) bytes: usize,
    /// Where the last of these bytes ends.
    pub(super) end: usize,
}

/// The free units of a chunk of page runs, and which are known to be zero.
pub(crate) struct Free {
    free: Bits,
    clean: Bits,
}

impl Free {
    /// `None` if unit `at` is in use; else whether it is known to be zero.
    pub(crate) fn is_clean(&self, at: usize) -> Option<bool> {
        bit(&self.free, at).then(|| bit(&self.clean, at))
    }
}

/// The record of a chunk that holds page runs, or once did.
pub(super) fn record_in(chunk: usize) -> Option<NonNull<Runs>> {
    NonNull::new(MAP.chunk(chunk).runs.load(ordering::chunk_runs()).cast())
}

/// The record of the chunk of a run.
fn record_of(ptr: *mut u8) -> Result<NonNull<Runs>, Report> {
    let chunk = MAP.chunk(MAP.chunk_index(ptr));
    let runs = chunk.runs.load(ordering::chunk_runs()).cast::<Runs>();
    let location = Location { span: 0, block: 0 };
    NonNull::new(runs).ok_or(Report { what: Misuse::Foreign, ptr, location, size: 0 })
}

/// Checks that `ptr` is the start of a run of `len` units, and that these are `units`.
fn check(runs: &Runs, ptr: *mut u8, len: usize, units: usize, size: usize) -> Result<(), Report> {
    if len != 0 && ptr.addr().is_multiple_of(UNIT) && len == units {
        return Ok(());
    }
    let what = if bit(&runs.free, (ptr.addr() % CHUNK) / UNIT) {
        Misuse::DoubleFree
    } else if len == 0 || !ptr.addr().is_multiple_of(UNIT) {
        Misuse::Interior
    } else {
        Misuse::Layout
    };
    let location = Location { span: MAP.chunk_base(runs.chunk).addr(), block: len * UNIT };
    Err(Report { what, ptr, location, size })
}

/// Bytes of the run at `ptr`. The entry says that a run is there.
pub(crate) fn bytes_at(ptr: *mut u8) -> usize {
    let record = record_of(ptr).unwrap_or_else(|report| report.abort());
    let units = len(record, (ptr.addr() % CHUNK) / UNIT);
    if units == 0 || !ptr.addr().is_multiple_of(UNIT) {
        let what = if units == 0 { Misuse::DoubleFree } else { Misuse::Interior };
        let location = Location { span: MAP.chunk_base(MAP.chunk_index(ptr)).addr(), block: 0 };
        Report { what, ptr, location, size: 0 }.abort();
    }
    units * UNIT
}

impl Lists {
    /// # Safety
    /// \[RUNS-LOCKED\], and the record is on no list.
    pub(super) unsafe fn link(&mut self, record: NonNull<Runs>) {
        // SAFETY: [RUNS-LOCKED] for it and the head of the list.
        unsafe {
            let runs = &mut *record.as_ptr();
            let head = &mut self.heads[list_for(runs.longest)];
            runs.prev = ptr::null_mut();
            runs.next = *head;
            if let Some(next) = head.as_mut() {
                next.prev = record.as_ptr();
            }
            *head = record.as_ptr();
        }
    }

    /// # Safety
    /// \[RUNS-LOCKED\], and the record is on its list.
    pub(super) unsafe fn unlink(&mut self, record: NonNull<Runs>) {
        // SAFETY: [RUNS-LOCKED] for it and its neighbours.
        unsafe {
            let runs = record.as_ref();
            match runs.prev.as_mut() {
                Some(prev) => prev.next = runs.next,
                None => self.heads[list_for(runs.longest)] = runs.next,
            }
            if let Some(next) = runs.next.as_mut() {
                next.prev = runs.prev;
            }
        }
    }

    fn get(&mut self, units: usize, align: usize) -> Result<Option<Run>, Refused> {
        for list in list_for(units)..LISTS {
            let mut at = self.heads[list];
            for _ in 0..LOOKS {
                let Some(record) = NonNull::new(at) else { break };
                // SAFETY: [RUNS-LOCKED] it is on our list.
                let runs = unsafe { record.as_ref() };
                if let Some(first) = find(&runs.free, units, align) {
                    COMMITTED.charge(count(&runs.clean, first, units) * UNIT)?;
                    let ptr = MAP.chunk_base(runs.chunk).wrapping_add(first * UNIT);
                    // SAFETY: [RUNS-LOCKED] as above.
                    let clean = unsafe { self.occupy(record, first, units) };
                    // Last: in the child of a fork, the lengths tell which units are used.
                    sync::in_order();
                    set_len(record, first, units);
                    return Ok(Some(Run { ptr, units, first, clean }));
                }
                at = runs.next;
            }
        }
        Ok(None)
    }

    /// Marks free units as in use. Returns which units of the chunk were known to be
    /// zero.
    ///
    /// # Safety
    /// \[RUNS-LOCKED\], and the record is on its list.
    unsafe fn occupy(&mut self, record: NonNull<Runs>, first: usize, units: usize) -> Bits {
        // SAFETY: [RUNS-LOCKED] by the caller.
        unsafe {
            self.unlink(record);
            let runs = &mut *record.as_ptr();
            let clean = runs.clean;
            set(&mut runs.free, first, units, false);
            set(&mut runs.clean, first, units, false);
            runs.longest = longest(&runs.free);
            self.link(record);
            clean
        }
    }

    /// Marks units as free; `clean`: they are known to be zero.
    ///
    /// # Safety
    /// \[RUNS-LOCKED\], and the record is on its list.
    unsafe fn release(&mut self, record: NonNull<Runs>, first: usize, units: usize, clean: bool) {
        // SAFETY: [RUNS-LOCKED] by the caller.
        unsafe {
            self.unlink(record);
            let runs = &mut *record.as_ptr();
            set(&mut runs.free, first, units, true);
            set(&mut runs.clean, first, units, clean);
            runs.longest = longest(&runs.free);
            self.link(record);
        }
    }

    /// Takes a chunk off the lists if all its units are free. Returns which bytes of it may
    /// hold memory.
    fn take_free(&mut self, chunk: usize) -> Option<Dirty> {
        let record = record_in(chunk)?;
        // SAFETY: [RUNS-LOCKED] records in the table are on our lists.
        let runs = unsafe { record.as_ref() };
        if runs.longest != CHUNK_UNITS {
            return None;
        }
        let dirty = dirty(&runs.free, &runs.clean);
        MAP.set(MAP.chunk_base(chunk), CHUNK / GRANULE, 0);
        // SAFETY: [RUNS-LOCKED] as above.
        unsafe { self.unlink(record) };
        Some(dirty)
    }

    /// Marks the units of a chunk that are to be purged as in use.
    fn begin_purge(&mut self, chunk: usize, page: usize) -> Option<(NonNull<Runs>, Bits)> {
        let record = record_in(chunk)?;
        // SAFETY: [RUNS-LOCKED] records in the table are on our lists.
        let runs = unsafe { record.as_ref() };
        let mut bits = [0; WORDS];
        for (i, bits) in bits.iter_mut().enumerate() {
            *bits = runs.free[i] & !runs.clean[i];
        }
        let bits = whole_pages(&bits, page / UNIT);
        if bits == [0; WORDS] {
            return None;
        }
        for (first, len) in runs_of(&bits) {
            // SAFETY: [RUNS-LOCKED] as above.
            unsafe { self.occupy(record, first, len) };
        }
        Some((record, bits))
    }
}

impl Run {
    /// Bytes of the run that may hold memory already.
    fn dirty_bytes(&self) -> usize {
        (self.units - count(&self.clean, self.first, self.units)) * UNIT
    }

    /// Clears the units that are not known to be zero.
    ///
    /// # Safety
    /// The run was just handed out.
    pub(crate) unsafe fn clear(&self) {
        shadow::handed_out(self.ptr, self.units * UNIT);
        for i in 0..self.units {
            if !bit(&self.clean, self.first + i) {
                // SAFETY: within the run.
                unsafe { self.ptr.add(i * UNIT).write_bytes(0, UNIT) };
            }
        }
        shadow::taken_back(self.ptr, self.units * UNIT);
    }
}

/// What of the free units may hold memory.
fn dirty(free: &Bits, clean: &Bits) -> Dirty {
    let dirty: Bits = core::array::from_fn(|i| free[i] & !clean[i]);
    let end = (0..CHUNK_UNITS).rev().find(|unit| bit(&dirty, *unit));
    let bytes = count(&dirty, 0, CHUNK_UNITS) * UNIT;
    Dirty { bytes, end: end.map_or(0, |unit| (unit + 1) * UNIT) }
}

fn list_for(longest: usize) -> usize {
    longest.checked_ilog2().unwrap_or(0) as usize
}

fn bit(bits: &Bits, at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 != 0
}

pub(super) fn set(units: &mut Bits, first: usize, len: usize, value: bool) {
    for (word, mask) in bits::masks(first, len) {
        units[word] = if value { units[word] | mask } else { units[word] & !mask };
    }
}

fn all(units: &Bits, first: usize, len: usize) -> bool {
    bits::masks(first, len).all(|(word, mask)| units[word] & mask == mask)
}

pub(super) fn count(units: &Bits, first: usize, len: usize) -> usize {
    bits::masks(first, len).map(|(word, mask)| (units[word] & mask).count_ones() as usize).sum()
}

/// Each run of set bits: its first unit and its length.
fn runs_of(units: &Bits) -> impl Iterator<Item = (usize, usize)> {
    bits::runs(|word| units[word], CHUNK_UNITS)
}

/// The first multiple of `align` at which `len` units are free.
fn find(free: &Bits, len: usize, align: usize) -> Option<usize> {
    runs_of(free).find_map(|(first, run)| {
        let aligned = first.next_multiple_of(align);
        (aligned + len <= first + run).then_some(aligned)
    })
}

pub(super) fn longest(free: &Bits) -> usize {
    runs_of(free).map(|(_, len)| len).max().unwrap_or(0)
}

/// Those of the set bits that form whole pages of `units` each.
fn whole_pages(bits: &Bits, units: usize) -> Bits {
    let mut whole = [0; WORDS];
    for (first, len) in runs_of(bits) {
        let start = first.next_multiple_of(units);
        let end = (first + len) / units * units;
        if start < end {
            set(&mut whole, start, end - start, true);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_split_and_joined() {
        let mut free = [u64::MAX; WORDS];
        assert_eq!(find(&free, 512, 1), Some(0));
        set(&mut free, 0, 10, false);
        set(&mut free, 100, 60, false);
        assert_eq!(find(&free, 90, 1), Some(10));
        assert_eq!(find(&free, 91, 1), Some(160));
        assert_eq!(find(&free, 16, 64), Some(64));
        assert_eq!(find(&free, 40, 64), Some(192));
        assert_eq!(longest(&free), 352);
        set(&mut free, 100, 60, true);
        assert_eq!(longest(&free), 502);
        assert!(all(&free, 10, 502));
        assert!(!all(&free, 9, 2));
        assert_eq!(count(&free, 0, 512), 502);
    }

    #[test]
    fn only_whole_pages_are_purged() {
        let mut bits = [0; WORDS];
        set(&mut bits, 5, 40, true);
        assert_eq!(whole_pages(&bits, 1), bits);
        let whole = whole_pages(&bits, 16);
        assert_eq!(count(&whole, 0, CHUNK_UNITS), 16);
        assert!(all(&whole, 16, 16));
        assert_eq!(whole_pages(&bits, 64), [0; WORDS]);
    }
}

//! Which chunks of the window's addresses are taken, and by whom: one lock for all. Whoever
//! takes chunks maps memory there, without the lock.
//!
//! Freed chunks that stay mapped are *spare*. They may hold memory, from their start on, and
//! are the first to be used again, whatever they held and whoever asks. All that is free in
//! them counts as dirty memory (`usage.rs`), and is unmapped when that is purged.
//!
//! ```text
//!  chunks   │ in use │ spare  │ spare  │ in use │ not mapped ···
//!  memory   │########│########│###     │########│
//!                                 └ clean_tail ┘ bytes at the end that hold none
//! ```
//!
//! The system limits the mappings of a process, and other parts of it need some.
//! Neighbouring chunks form one mapping. A free stretch between taken chunks adds one,
//! and so does a huge block that ends within a chunk. Once there are many, chunks between
//! taken ones are not unmapped; nor are they where the system refuses. They are purged, and
//! stay spare.

use core::mem::offset_of;

use crate::base::directory::Address;
use crate::base::geometry::CHUNK;
use crate::base::lock::{Lock, Wait};
use crate::base::ordering;
use crate::base::shadow;
use crate::base::sync::{AtomicBool, AtomicUsize, Guarded};
use crate::pages::chunk_bits::{ChunkBits, Stretch};
use crate::pages::chunk_metadata;
use crate::pages::committed::COMMITTED;
use crate::pages::tables;
use crate::pages::thp;
use crate::spans::page_map::MAP;
use crate::sys::{self, MapError};

struct Space {
    lock: Lock,
    bits: Guarded<ChunkBits>,
    /// Bytes that the allocator has mapped in the window, without purged spare chunks.
    mapped: AtomicUsize,
}

// SAFETY: [SPACE-LOCKED] the bits are touched only under the lock.
unsafe impl Sync for Space {}

static SPACE: Space =
    Space { lock: Lock::new(), bits: Guarded::new(ChunkBits::EMPTY), mapped: AtomicUsize::new(0) };

/// Where the mapped bytes are, for readers outside of the process.
pub(crate) const fn place_of_mapped() -> Address {
    Address::of(&raw const SPACE).plus(offset_of!(Space, mapped))
}

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
    // SAFETY: no other thread runs yet.
    SPACE.bits.with(|bits| unsafe { *bits = ChunkBits::begin(space) });
}

fn locked<R>(f: impl FnOnce(&mut ChunkBits) -> R) -> Option<R> {
    locked_as(Wait::Yes, f)
}

fn locked_as<R>(wait: Wait, f: impl FnOnce(&mut ChunkBits) -> R) -> Option<R> {
    let _held = SPACE.lock.lock_as(wait)?;
    // SAFETY: [SPACE-LOCKED].
    Some(SPACE.bits.with(|bits| f(unsafe { &mut *bits })))
}

/// Whether the calling thread is changing which chunks are taken: in a signal handler,
/// what it interrupted may. Then nothing can be taken or given back.
pub(crate) fn is_held_here() -> bool {
    SPACE.lock.is_held_here()
}

/// Takes `count` chunks of addresses, the first a multiple of `align` chunks.
pub(crate) fn take(count: usize, align: usize) -> Option<usize> {
    locked(|bits| bits.take(count, align))?
}

/// Takes `count` chunks of addresses from chunk `at`, if all are free.
pub(super) fn take_at(at: usize, count: usize) -> bool {
    let taken = |bits: &mut ChunkBits| {
        let stretch = bits.take_at(at, count)?;
        if stretch.unmapped.1 == count {
            return Some(());
        }
        bits.put_stretch(stretch, false);
        None
    };
    locked(taken).flatten().is_some()
}

/// Frees chunks of addresses. Nothing of ours is mapped there any more.
pub(crate) fn give_back(at: usize, count: usize) {
    locked(|bits| bits.give_back(at, count));
}

/// Chunks that are mapped, and the caller's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    /// The first chunk.
    pub(crate) at: usize,
    /// Bytes mapped from there: the requested ones, or all of the chunks.
    pub(super) bytes: usize,
    /// Bytes among the requested ones that may hold memory.
    pub(crate) dirty: usize,
    /// Bytes behind them that may hold memory.
    pub(super) tail: usize,
}

/// When bytes that held no memory are charged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Charge {
    /// When they are mapped.
    Now,
    /// When they are handed out.
    Later,
}

impl Charge {
    fn take(self, bytes: usize) -> bool {
        self == Charge::Later || COMMITTED.charge(bytes).is_ok()
    }

    fn undo(self, bytes: usize) {
        if self == Charge::Now {
            COMMITTED.discharge(bytes);
        }
    }
}

/// Takes `count` spare chunks, the first a multiple of `align` chunks, for `bytes`. All of
/// them are mapped.
pub(super) fn reuse(count: usize, align: usize, bytes: usize, charge: Charge) -> Option<Mapped> {
    if bytes.div_ceil(CHUNK) != count {
        return None;
    }
    let stretch = locked(|bits| bits.take_spares(count, align))??;
    fill(stretch, bytes, charge)
}

/// Whether `count` spare chunks lie side by side.
pub(super) fn has_spares(count: usize) -> bool {
    locked(|bits| bits.has_spares(count)).unwrap_or(false)
}

/// As [`reuse`], from chunk `at` on: spare chunks, and then addresses that are free.
pub(super) fn extend(at: usize, count: usize, bytes: usize, charge: Charge) -> Option<Mapped> {
    let stretch = locked(|bits| bits.take_at(at, count))??;
    fill(stretch, bytes, charge)
}

/// Maps what is not mapped of a stretch. If that fails, the stretch is given back.
fn fill(stretch: Stretch, bytes: usize, charge: Charge) -> Option<Mapped> {
    let mut held = [0, 0];
    let mut clean = stretch.unmapped.1 * CHUNK;
    for index in stretch.mapped().flat_map(|(at, count)| at..at + count) {
        let memory = memory_in(index);
        let within = (bytes - (index - stretch.at) * CHUNK).min(CHUNK);
        held[0] += memory.min(within);
        held[1] += memory.saturating_sub(within);
        clean += if memory == 0 { CHUNK } else { 0 };
    }
    let [dirty, tail] = held;
    let charged = charge.take(bytes - dirty);
    let mapped = if charged { map_rest(stretch) } else { Err(MapError::NoMemory) };
    if let Err(error) = mapped {
        if charged {
            charge.undo(bytes - dirty);
        }
        // A foreign mapping: its addresses stay taken for good.
        let stay = matches!(error, MapError::Taken);
        locked(|bits| bits.put_stretch(stretch, stay));
        return None;
    }
    for index in stretch.mapped().flat_map(|(at, count)| at..at + count) {
        set_clean_tail(index, 0);
    }
    SPACE.mapped.fetch_add(clean, ordering::mapped_bytes());
    Some(Mapped { at: stretch.at, bytes: stretch.count * CHUNK, dirty, tail })
}

/// Maps what is not mapped of a stretch.
fn map_rest(stretch: Stretch) -> Result<(), MapError> {
    let (at, count) = stretch.unmapped;
    if count == 0 {
        return Ok(());
    }
    if !tables::make_readable(at + count) {
        return Err(MapError::NoMemory);
    }
    let (base, bytes) = (MAP.chunk_base(at), count * CHUNK);
    // SAFETY: the addresses are ours to use; nothing of ours is there.
    unsafe { sys::map_advised_at(base, bytes, thp::is_always()) }?;
    shadow::taken_back(base, bytes);
    Ok(())
}

/// Takes `count` chunks of addresses, the first a multiple of `align` chunks, and maps fresh,
/// zeroed memory there: `bytes`, or all of these chunks, unless addresses are limited. The
/// caller holds no lock.
#[cold]
pub(super) fn map(count: usize, align: usize, bytes: usize, charge: Charge) -> Option<Mapped> {
    if !charge.take(bytes) {
        return None;
    }
    let mapped = map_at_any(count, align, bytes);
    if mapped.is_none() {
        charge.undo(bytes);
    }
    mapped
}

fn map_at_any(count: usize, align: usize, bytes: usize) -> Option<Mapped> {
    let whole = bytes.next_multiple_of(CHUNK);
    let many = locked(|bits| are_many(bits))?;
    // Behind a block with a guard, nothing is mapped at all.
    let guarded = count * CHUNK != whole;
    let mut size = if many || !(guarded || are_limited()) { whole } else { bytes };
    for attempt in 0..ATTEMPTS {
        let at = take(count, align)?;
        if !tables::make_readable(at + bytes.div_ceil(CHUNK)) {
            give_back(at, count);
            return None;
        }
        // SAFETY: the addresses are ours to use; nothing of ours is there.
        match unsafe { sys::map_advised_at(MAP.chunk_base(at), size, thp::is_always()) } {
            Ok(()) => {
                shadow::taken_back(MAP.chunk_base(at), size);
                resized(0, size);
                return Some(Mapped { at, bytes: size, dirty: 0, tail: 0 });
            }
            // A foreign mapping: its addresses stay taken for good, and more behind it if
            // there are many.
            Err(MapError::Taken) => pass_over(at + count, attempt / IN_A_ROW),
            // There is no more memory at other addresses. These stay taken for good.
            Err(MapError::Stays) => return None,
            Err(MapError::NoMemory) => {
                give_back(at, count);
                if size == bytes {
                    return None;
                }
                size = bytes;
            }
        }
    }
    None
}

/// Passes over chunks from `at` on, `2^log` of them, as far as they are free.
fn pass_over(at: usize, log: usize) {
    if log != 0 {
        let most = STRIDE.min(1 << log.min(STRIDE.ilog2() as usize));
        locked(|bits| bits.take_free_before(at, at + most));
    }
}

/// Takes `count` chunks of addresses, and reserves them: nothing can be accessed there. Parts that
/// become accessible make at most `mappings` more of them. Returns the first.
pub(crate) fn reserve(count: usize, mappings: usize) -> Option<usize> {
    for _ in 0..ATTEMPTS {
        let at = take(count, 1)?;
        if !tables::make_readable(at + count) {
            give_back(at, count);
            return None;
        }
        // SAFETY: the addresses are ours to use; nothing of ours is there.
        match unsafe { sys::reserve_at(MAP.chunk_base(at), count * CHUNK) } {
            Ok(()) => {
                locked(|bits| bits.rests += mappings);
                return Some(at);
            }
            // Their addresses stay taken for good.
            Err(MapError::Taken | MapError::Stays) => {}
            Err(MapError::NoMemory) => {
                give_back(at, count);
                return None;
            }
        }
    }
    None
}

/// Counts bytes that became accessible in chunks of [`reserve`], or `less` that no longer are.
pub(crate) fn count_accessible(more: usize, less: usize) {
    SPACE.mapped.fetch_add(more.wrapping_sub(less), ordering::mapped_bytes());
}

/// Makes whole chunks spare, of which the last holds memory in its first `last` bytes at most,
/// and the others anywhere. They count as dirty memory.
pub(crate) fn keep(at: usize, count: usize, last: usize) {
    set_clean_tail(at + count - 1, CHUNK - last);
    if last == 0 {
        SPACE.mapped.fetch_sub(CHUNK, ordering::mapped_bytes());
    }
    locked(|bits| bits.set_spares(at, count));
}

/// Unmaps what [`map`] mapped. Where that would make too many mappings, or the system
/// refuses, it purges the chunks and makes them spare. Returns how many bytes still hold
/// memory because the system refused all.
///
/// # Safety
/// Nobody uses the memory any more.
pub(crate) unsafe fn unmap(at: usize, count: usize, bytes: usize) -> usize {
    let base = MAP.chunk_base(at);
    let whole = bytes == count * CHUNK;
    let stays = whole && locked(|bits| are_many(bits) && bits.splits(at, count)) == Some(true);
    // SAFETY: by the caller.
    if !stays && unsafe { sys::release(base, bytes) } {
        resized(bytes, 0);
        if count == 1 {
            chunk_metadata::purge(at, count);
        }
        give_back(at, count);
        return 0;
    }
    // What is mapped of the last chunk, if it is mapped in part, stays so, and is lost.
    let chunks = bytes / CHUNK;
    resized(bytes, chunks * CHUNK);
    give_back(at + bytes.div_ceil(CHUNK), count - bytes.div_ceil(CHUNK));
    // SAFETY: likewise.
    let purged = unsafe { sys::purge(base, bytes) };
    let left = if purged { 0 } else { CHUNK };
    for index in at..at + chunks {
        keep(index, 1, left);
    }
    chunks * left
}

/// Unmaps spare chunks, from the highest down, until `want` bytes of memory went back. Where
/// they cannot be unmapped, they are purged. Returns how many bytes.
pub(crate) fn purge_spares(want: usize) -> usize {
    let (mut done, mut end, mut refused) = (0, usize::MAX, 0);
    while done < want && refused < MOST_REFUSED {
        let most = (want - done).div_ceil(CHUNK);
        let Some(Some(stretch)) = locked(|bits| bits.take_last_spares(end, most)) else { break };
        end = stretch.at;
        match purge_stretch(stretch) {
            Some(bytes) => done += bytes,
            None => refused += 1,
        }
    }
    done
}

/// Stretches of spare chunks that one purge tries in vain.
const MOST_REFUSED: usize = 16;

/// Unmaps or purges spare chunks that were taken. `None`: the system refused.
fn purge_stretch(stretch: Stretch) -> Option<usize> {
    let Stretch { at, count, .. } = stretch;
    let (mut bytes, mut counted) = (0, 0);
    for memory in (at..at + count).map(memory_in) {
        bytes += memory;
        counted += usize::from(memory != 0) * CHUNK;
    }
    let base = MAP.chunk_base(at);
    let stays = locked(|bits| are_many(bits) && bits.splits(at, count)) == Some(true);
    // SAFETY: the chunks were spare, and are ours now.
    if !stays && unsafe { sys::release(base, count * CHUNK) } {
        (at..at + count).for_each(|index| set_clean_tail(index, 0));
        SPACE.mapped.fetch_sub(counted, ordering::mapped_bytes());
        chunk_metadata::purge(at, count);
        give_back(at, count);
        return Some(bytes);
    }
    // SAFETY: likewise.
    let purged = bytes != 0 && unsafe { sys::purge(base, count * CHUNK) };
    if purged {
        (at..at + count).for_each(|index| set_clean_tail(index, CHUNK));
        SPACE.mapped.fetch_sub(counted, ordering::mapped_bytes());
    }
    locked(|bits| bits.set_spares(at, count));
    if bytes == 0 && stays { Some(0) } else { purged.then_some(bytes) }
}

/// Bytes at the start of a spare chunk that may hold memory.
fn memory_in(index: usize) -> usize {
    CHUNK - MAP.chunk(index).clean_tail.load(ordering::chunk_clean())
}

/// Sets how many bytes at the end of a chunk hold no memory, when it becomes spare; 0 when it
/// no longer is.
fn set_clean_tail(index: usize, bytes: usize) {
    let tail = &MAP.chunk(index).clean_tail;
    // What is not written to takes no memory.
    if tail.load(ordering::chunk_clean()) != bytes {
        tail.store(bytes, ordering::chunk_clean());
    }
}

/// Each spare chunk, and the bytes at its start that may hold memory.
pub(crate) fn spares() -> impl Iterator<Item = (usize, usize)> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let spare = next_spare(from, Wait::Yes)??;
        from = spare.0 + 1;
        Some(spare)
    })
}

/// The first of these from chunk `from` on. `None`: the lock cannot be had.
pub(crate) fn next_spare(from: usize, wait: Wait) -> Option<Option<(usize, usize)>> {
    let at = locked_as(wait, |bits| bits.next_spare(from))?;
    Some(at.map(|at| (at, memory_in(at))))
}

/// Whether the process may have little more of addresses or data: then what is kept may be
/// in the way of the program's own mappings.
static LIMITED: AtomicBool = AtomicBool::new(false);

/// Times that somebody asked.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// The limits are read once in so many times.
const READ_LIMITS: usize = 256;

/// Whether addresses are limited. The limits may change at any time, and are read now and
/// then.
pub(super) fn are_limited() -> bool {
    // Two threads may count as one.
    let asked = ASKED.load(ordering::address_limits());
    ASKED.store(asked.wrapping_add(1), ordering::address_limits());
    if asked.is_multiple_of(READ_LIMITS) {
        LIMITED.store(sys::address_limit().is_some(), ordering::address_limits());
    }
    LIMITED.load(ordering::address_limits())
}

/// Whether there are about as many mappings as the window may use.
fn are_many(bits: &ChunkBits) -> bool {
    let mappings = bits.mappings();
    mappings >= FEW && mappings >= MAPPING_LIMIT.load(ordering::mapping_limit()) / SHARE
}

/// Reads the system's limit on mappings, if the window has so many that it matters. The
/// helper calls this: no descriptor is opened on a thread of the program.
pub(crate) fn read_mapping_limit() {
    if locked(|bits| bits.mappings() >= FEW) == Some(true) {
        MAPPING_LIMIT.store(sys::mapping_limit(), ordering::mapping_limit());
    }
}

/// Records that a mapping in the window grew or shrank.
pub(super) fn resized(old: usize, new: usize) {
    SPACE.mapped.fetch_add(new.wrapping_sub(old), ordering::mapped_bytes());
    let [old, new] = [old, new].map(|bytes| usize::from(!bytes.is_multiple_of(CHUNK)));
    if old != new {
        locked(|bits| bits.rests = bits.rests + new - old);
    }
}

/// Bytes mapped for blocks.
pub(crate) fn mapped() -> usize {
    SPACE.mapped.load(ordering::mapped_bytes())
}

/// In the child of a fork: frees an orphaned lock. Each bit is valid by itself.
pub(crate) fn after_fork() {
    if SPACE.lock.is_orphaned() {
        // SAFETY: [SPACE-LOCKED] no other thread runs.
        SPACE.bits.with(|bits| unsafe { &mut *bits }.count_again());
        SPACE.lock.force_unlock();
    }
}

/// The chunks in `from..end` that are taken and not spare, from the first on. Other threads
/// may take and free chunks meanwhile.
pub(crate) fn in_use(from: usize, end: usize) -> impl Iterator<Item = usize> {
    let next = move |from| next_in_use(from, end, Wait::Yes).flatten();
    core::iter::successors(next(from), move |at| next(at + 1))
}

/// The first of these. `None`: the lock cannot be had.
pub(crate) fn next_in_use(from: usize, end: usize, wait: Wait) -> Option<Option<usize>> {
    locked_as(wait, |bits| bits.next_in_use(from, end))
}

/// As [`in_use`], from the last one below `end` down to `from`.
pub(crate) fn in_use_down(from: usize, end: usize) -> impl Iterator<Item = usize> {
    let last = move |end| locked(|bits| bits.last_in_use(end)).flatten();
    core::iter::successors(last(end), move |at| last(*at)).take_while(move |at| *at >= from)
}

//! The allocator of metadata: slots of powers of two, cut from segments between guard
//! pages. A segment grows into addresses that it reserved: more mappings may be more than the
//! process may have. Segments are unmapped only in an unload. Freed slots go on one list per size,
//! as do the bytes skipped for alignment.
//!
//! ```text
//!  │guard│ slots in use ······ │ rest of them │ reserved, no access          │guard│
//!        └─ bytes ────────────────────────────┴─ room ───────────────────────┘
//!
//!  1 column = 256 B
//!  │rec │1 K │2 K     │a page          │next ►
//!        └────┬──────┘
//!             └ skipped, since a page is aligned to its size: two slots on
//!               the free lists
//! ```

use core::mem::offset_of;
use core::ptr::{self, NonNull};

use crate::base::directory::Address;
use crate::base::geometry::{GUARD, PAGE};
use crate::base::later::Later;
use crate::base::lock::{Lock, Wait};
use crate::base::ordering;
use crate::base::sync::{self, AtomicUsize, Guarded};
use crate::sys;

const SMALLEST: usize = 32;
const LARGEST: usize = 64 << 10;
const SIZES: usize = LARGEST.trailing_zeros() as usize - SMALLEST.trailing_zeros() as usize + 1;

const FIRST_SEGMENT: usize = 256 << 10;
const LAST_SEGMENT: usize = 16 << 20;

/// A segment has room for so many times what it begins with.
const ROOM: usize = 4;

/// But for as much as a heap of a gigabyte needs: another segment takes three mappings, where
/// others may hold all but a few.
const LEAST_ROOM: usize = 4 << 20;

/// Maximum number of recorded segments: nearly 4 GiB, more than there is metadata for.
const SEGMENTS: usize = 64;

/// Memory between two guards.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) at: *mut u8,
    /// Bytes that may be accessed, or are about to.
    pub(crate) bytes: usize,
    /// Bytes of addresses.
    pub(crate) room: usize,
}

struct Pool {
    lock: Lock,
    slots: Guarded<Slots>,
    /// Bytes of the slots in use.
    used: AtomicUsize,
    /// Bytes of all segments.
    mapped: AtomicUsize,
}

/// \[POOL-LOCKED\] Accessed only under the lock of [`Pool`].
struct Slots {
    /// Lists of free slots, linked through their first word.
    free: [*mut u8; SIZES],
    /// The unused rest of the newest segment.
    next: *mut u8,
    left: usize,
    /// The segments so far, `count` of them.
    segments: [Segment; SEGMENTS],
    count: usize,
}

// SAFETY: [POOL-LOCKED] the lists are touched only under the lock.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool {
    lock: Lock::new(),
    slots: Guarded::new(Slots::new()),
    used: AtomicUsize::new(0),
    mapped: AtomicUsize::new(0),
};

/// Where the bytes in use are, for readers outside of the process.
pub(crate) const fn place_of_used() -> Address {
    Address::of(&raw const POOL).plus(offset_of!(Pool, used))
}

/// Slots that a signal handler freed while the code that it interrupted had the pool. The
/// word behind the link is the size.
static WAITING: Later = Later::new();

/// Size in bytes of the slot for `size` bytes.
pub(crate) const fn slot_bytes(size: usize) -> usize {
    let slot = size.next_power_of_two();
    if slot < SMALLEST { SMALLEST } else { slot }
}

fn index(slot: usize) -> usize {
    (slot.trailing_zeros() - SMALLEST.trailing_zeros()) as usize
}

/// Allocates a slot for `size` bytes, aligned to its own size up to a page. Its
/// contents are undefined. The caller holds no lock.
pub(crate) fn alloc(size: usize) -> Option<NonNull<u8>> {
    let slot = slot_bytes(size);
    debug_assert!(slot <= LARGEST);
    loop {
        let held = POOL.lock.lock()?;
        let got = POOL.slots.with(|slots| {
            // SAFETY: [POOL-LOCKED].
            let slots = unsafe { &mut *slots };
            slots.take_waiting();
            slots.get(slot)
        });
        drop(held);
        match got {
            Some(slot_at) => {
                POOL.used.fetch_add(slot, ordering::metadata_used());
                return Some(slot_at);
            }
            None => grow()?,
        }
    }
}

/// Frees a slot allocated for `size` bytes. The caller holds no lock.
///
/// # Safety
/// `at` came from [`alloc`] with the same size and is not used any more.
pub(crate) unsafe fn free(at: NonNull<u8>, size: usize) {
    let slot = slot_bytes(size);
    POOL.used.fetch_sub(slot, ordering::metadata_used());
    let Some(_held) = POOL.lock.lock() else {
        // SAFETY: by the caller; a slot has room for two words.
        unsafe {
            at.cast::<usize>().add(1).write(slot);
            WAITING.keep(at.cast());
        }
        return;
    };
    POOL.slots.with(|slots| {
        // SAFETY: [POOL-LOCKED], and nobody else has the slot.
        unsafe { (*slots).push(at, slot) };
    });
}

impl Slots {
    const fn new() -> Self {
        Slots {
            free: [ptr::null_mut(); SIZES],
            next: ptr::null_mut(),
            left: 0,
            segments: [const { Segment { at: ptr::null_mut(), bytes: 0, room: 0 } }; SEGMENTS],
            count: 0,
        }
    }

    /// The newest segment.
    fn newest(&mut self) -> Option<&mut Segment> {
        self.segments[..self.count].last_mut()
    }

    /// Takes the next `size` bytes of addresses of the newest segment, for the caller to make
    /// accessible.
    fn extend(&mut self, size: usize) -> Option<*mut u8> {
        let newest = self.newest().filter(|newest| newest.room - newest.bytes >= size)?;
        let at = newest.at.wrapping_add(newest.bytes);
        newest.bytes += size;
        Some(at)
    }

    /// Gives back what [`extend`](Self::extend) took, if it is still the last.
    fn shrink(&mut self, at: *mut u8, size: usize) {
        if let Some(newest) = self.newest()
            && newest.at.wrapping_add(newest.bytes) == at.wrapping_add(size)
        {
            newest.bytes -= size;
        }
    }

    /// Adds `size` bytes, of which slots are cut from now on. If they do not follow the rest of
    /// the others, that stays unused.
    fn add(&mut self, at: *mut u8, size: usize) {
        if self.next.wrapping_add(self.left) == at {
            self.left += size;
            return;
        }
        self.left = 0;
        sync::in_order();
        self.next = at;
        sync::in_order();
        self.left = size;
    }

    /// Frees what waited for the lock.
    #[inline]
    fn take_waiting(&mut self) {
        if !WAITING.is_empty() {
            // SAFETY: [POOL-LOCKED] whoever freed a slot there wrote its size behind the link.
            WAITING
                .take_all(|at| unsafe { self.push(at.cast(), at.cast::<usize>().add(1).read()) });
        }
    }

    fn get(&mut self, slot: usize) -> Option<NonNull<u8>> {
        self.pop(slot).or_else(|| self.cut(slot)).or_else(|| self.carve(slot))
    }

    fn pop(&mut self, slot: usize) -> Option<NonNull<u8>> {
        let list = &mut self.free[index(slot)];
        let at = NonNull::new(*list)?;
        // SAFETY: [POOL-LOCKED] the first word of a slot on the list holds the next
        // slot.
        *list = unsafe { at.cast::<*mut u8>().read() };
        Some(at)
    }

    /// # Safety
    /// \[POOL-LOCKED\]; nobody else has the slot.
    unsafe fn push(&mut self, at: NonNull<u8>, slot: usize) {
        let list = &mut self.free[index(slot)];
        // SAFETY: by the caller.
        unsafe { at.cast::<*mut u8>().write(*list) };
        sync::in_order();
        *list = at.as_ptr();
    }

    /// Cuts a slot from a larger free one and frees the rest. The larger slot is
    /// smaller than a page: it lies in a page that holds other metadata anyway.
    fn cut(&mut self, slot: usize) -> Option<NonNull<u8>> {
        let mut larger = slot * 2;
        while larger < PAGE {
            if let Some(at) = self.pop(larger) {
                // SAFETY: [POOL-LOCKED] these bytes are the rest of a slot of ours.
                unsafe { self.push_all(at.add(slot), larger - slot) };
                return Some(at);
            }
            larger *= 2;
        }
        None
    }

    /// Cuts a slot from the unused rest of the newest segment.
    fn carve(&mut self, slot: usize) -> Option<NonNull<u8>> {
        // Slots are aligned to their size, up to a page.
        let from = self.next;
        let skip = from.align_offset(slot.min(PAGE));
        if from.is_null() || self.left < slot + skip {
            return None;
        }
        let at = from.wrapping_add(skip);
        // `left` shrinks first: the rest is consistent after every single store.
        self.left -= slot + skip;
        sync::in_order();
        self.next = at.wrapping_add(slot);
        if let Some(from) = NonNull::new(from) {
            // SAFETY: [POOL-LOCKED] the skipped bytes were never handed out.
            unsafe { self.push_all(from, skip) };
        }
        NonNull::new(at)
    }

    /// Frees `bytes` from `at`, as the largest slots there that are aligned to their
    /// size.
    ///
    /// # Safety
    /// \[POOL-LOCKED\]; nobody else has the memory, and it is less than a page.
    unsafe fn push_all(&mut self, mut at: NonNull<u8>, bytes: usize) {
        let mut left = bytes;
        while left != 0 {
            let slot = (1 << at.addr().trailing_zeros()).min(1 << left.ilog2());
            // SAFETY: by the caller.
            unsafe {
                self.push(at, slot);
                at = at.add(slot);
            }
            left -= slot;
        }
    }
}

/// Makes more memory accessible, as much as all so far, within bounds. No lock is held across
/// the system calls. If two threads do so at once, the rest of one's may stay unused.
#[cold]
fn grow() -> Option<()> {
    let size = POOL.mapped.load(ordering::metadata_mapped()).clamp(FIRST_SEGMENT, LAST_SEGMENT);
    [size, FIRST_SEGMENT].into_iter().find_map(|size| grow_by(size).or_else(|| new_segment(size)))
}

fn locked<R>(f: impl FnOnce(&mut Slots) -> R) -> Option<R> {
    locked_as(Wait::Yes, f)
}

fn locked_as<R>(wait: Wait, f: impl FnOnce(&mut Slots) -> R) -> Option<R> {
    let _held = POOL.lock.lock_as(wait)?;
    // SAFETY: [POOL-LOCKED].
    Some(POOL.slots.with(|slots| f(unsafe { &mut *slots })))
}

/// Makes the next `size` bytes of the newest segment accessible.
fn grow_by(size: usize) -> Option<()> {
    let at = locked(|slots| slots.extend(size))??;
    // SAFETY: these addresses are the segment's, and nobody else has them.
    if !unsafe { sys::commit(at, size) } {
        locked(|slots| slots.shrink(at, size));
        return None;
    }
    locked(|slots| slots.add(at, size))?;
    POOL.mapped.fetch_add(size, ordering::metadata_mapped());
    Some(())
}

/// Maps another segment, of which `size` bytes are accessible.
fn new_segment(size: usize) -> Option<()> {
    let new = segment(size, (size * ROOM).max(LEAST_ROOM)).or_else(|| segment(size, size))?;
    locked(|slots| {
        slots.add(new.at, size);
        if let Some(place) = slots.segments.get_mut(slots.count) {
            *place = new;
            sync::in_order();
            slots.count += 1;
        }
    })?;
    POOL.mapped.fetch_add(size, ordering::metadata_mapped());
    Some(())
}

fn segment(bytes: usize, room: usize) -> Option<Segment> {
    let whole = sys::reserve(room + 2 * GUARD)?;
    // SAFETY: the guard lies within the reservation.
    let at = unsafe { whole.add(GUARD) }.as_ptr();
    // SAFETY: [guard, guard + bytes) lies within what was just reserved.
    if unsafe { sys::commit(at, bytes) } {
        return Some(Segment { at, bytes, room });
    }
    // SAFETY: no other code has the reservation yet.
    unsafe { sys::release(whole.as_ptr(), room + 2 * GUARD) };
    None
}

/// The segments.
pub(crate) fn segments() -> impl Iterator<Item = Segment> {
    (0..SEGMENTS).map_while(|index| nth_segment(index, Wait::Yes)?)
}

/// One of these. `None`: the lock cannot be had.
pub(crate) fn nth_segment(index: usize, wait: Wait) -> Option<Option<Segment>> {
    locked_as(wait, |slots| slots.segments[..slots.count].get(index).copied())
}

/// Whether the calling thread has the pool: in a signal handler, what it interrupted may.
pub(crate) fn is_held_here() -> bool {
    POOL.lock.is_held_here()
}

/// Bytes of the slots in use.
pub(crate) fn used() -> usize {
    POOL.used.load(ordering::metadata_used())
}

/// In the child of a fork: frees an orphaned lock. The lists are consistent after every
/// single store.
pub(crate) fn after_fork() {
    if POOL.lock.is_orphaned() {
        POOL.lock.force_unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot that the test holds, and the byte that fills it.
    #[derive(Clone, Copy)]
    struct Held {
        at: NonNull<u8>,
        slot: usize,
        mark: u8,
    }

    impl Held {
        fn bytes<'a>(self) -> &'a mut [u8] {
            // SAFETY: the slot is held by the test.
            unsafe { core::slice::from_raw_parts_mut(self.at.as_ptr(), self.slot) }
        }
    }

    #[test]
    fn slots_are_aligned_and_nobody_elses() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut below = |end: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize % end
        };
        let mut held = [None::<Held>; 300];
        for round in 0..20_000 {
            let place = below(held.len());
            if let Some(old) = held[place].take() {
                assert!(old.bytes().iter().all(|byte| *byte == old.mark), "{} B", old.slot);
                // SAFETY: got with this size.
                unsafe { free(old.at, old.slot) };
            } else {
                let slot = SMALLEST << below(9);
                let new = Held { at: alloc(slot).unwrap(), slot, mark: round as u8 };
                assert!(new.at.addr().get().is_multiple_of(slot.min(PAGE)));
                new.bytes().fill(new.mark);
                held[place] = Some(new);
            }
        }
        held.into_iter().flatten().for_each(|old| {
            // SAFETY: as above.
            unsafe { free(old.at, old.slot) }
        });
    }

    #[test]
    fn segments_grow_where_they_are() {
        let slots = [(); 64].map(|()| alloc(LARGEST).unwrap());
        let (count, bytes) =
            segments().fold((0, 0), |(count, bytes), segment| (count + 1, bytes + segment.bytes));
        assert!(bytes >= slots.len() * LARGEST && count <= 3, "{count} segments, {bytes} bytes");
        for at in slots {
            // SAFETY: got with this size.
            unsafe {
                at.write_bytes(1, LARGEST);
                free(at, LARGEST);
            }
        }
    }

    #[test]
    fn what_alignment_skips_is_used() {
        let mut slots = Slots::new();
        let segment = segment(FIRST_SEGMENT, FIRST_SEGMENT).unwrap();
        slots.add(segment.at, segment.bytes);
        // 1 KiB and a page, four times: five pages hold them all.
        for _ in 0..4 {
            slots.get(1024).unwrap();
            slots.get(PAGE).unwrap();
        }
        assert_eq!(slots.next.addr() - segment.at.addr(), 5 * PAGE);
        // The four slots of 1 KiB fill a page: nothing is left of it.
        assert!(slots.free[..index(PAGE)].iter().all(|list| list.is_null()));
    }
}

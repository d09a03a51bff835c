//! Memory for what the allocator knows: slots of a power of two, from
//! segments with guard pages around them that are never unmapped.

use core::ptr::{self, NonNull};

use crate::lock::Lock;
use crate::order;
use crate::sync::{self, AtomicUsize, Guarded};
use crate::sys;

const SMALLEST: usize = 32;
const LARGEST: usize = 64 << 10;
const SIZES: usize = LARGEST.trailing_zeros() as usize - SMALLEST.trailing_zeros() as usize + 1;

/// No access: around every segment. Also the largest page size there is.
pub(crate) const GUARD: usize = 64 << 10;

const FIRST_SEGMENT: usize = 256 << 10;
const LAST_SEGMENT: usize = 16 << 20;

/// Segments that are remembered: nearly 1 GiB, more than there are things for.
const SEGMENTS: usize = 64;

struct Pool {
    lock: Lock,
    slots: Guarded<Slots>,
    /// Bytes handed out and not returned.
    used: AtomicUsize,
    /// Bytes of all segments.
    mapped: AtomicUsize,
}

/// \[POOL-LOCKED\] Touched only under the pool's lock.
struct Slots {
    /// Lists of returned slots, linked through their first word.
    free: [*mut u8; SIZES],
    /// What is left of the newest segment.
    next: *mut u8,
    left: usize,
    /// The first of these are the segments so far: where, and bytes.
    segments: [(*mut u8, usize); SEGMENTS],
    count: usize,
}

// SAFETY: [POOL-LOCKED] the lists are touched only under the lock.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool {
    lock: Lock::new(),
    slots: Guarded::new(Slots {
        free: [ptr::null_mut(); SIZES],
        next: ptr::null_mut(),
        left: 0,
        segments: [(ptr::null_mut(), 0); SEGMENTS],
        count: 0,
    }),
    used: AtomicUsize::new(0),
    mapped: AtomicUsize::new(0),
};

/// Bytes of the slot for a thing of `size` bytes.
pub(crate) const fn slot(size: usize) -> usize {
    let slot = size.next_power_of_two();
    if slot < SMALLEST { SMALLEST } else { slot }
}

fn index(slot: usize) -> usize {
    (slot.trailing_zeros() - SMALLEST.trailing_zeros()) as usize
}

/// A slot for `size` bytes, aligned to its own size up to a page. Its
/// contents are anything. The caller holds no lock.
pub(crate) fn get(size: usize) -> Option<NonNull<u8>> {
    let slot = slot(size);
    debug_assert!(slot <= LARGEST);
    loop {
        let held = POOL.lock.take()?;
        let got = POOL.slots.with(|slots| {
            // SAFETY: [POOL-LOCKED].
            let slots = unsafe { &mut *slots };
            slots.get(slot)
        });
        drop(held);
        match got {
            Some(slot_at) => {
                POOL.used.fetch_add(slot, order::count());
                return Some(slot_at);
            }
            None => grow()?,
        }
    }
}

/// Returns a slot got for `size` bytes. The caller holds no lock.
///
/// # Safety
/// `at` came from [`get`] with the same size and is not used any more.
pub(crate) unsafe fn put(at: NonNull<u8>, size: usize) {
    let slot = slot(size);
    let Some(_held) = POOL.lock.take() else { return };
    POOL.used.fetch_sub(slot, order::count());
    POOL.slots.with(|slots| {
        // SAFETY: [POOL-LOCKED], and the slot is nobody's.
        unsafe {
            let list = &mut (*slots).free[index(slot)];
            at.cast::<*mut u8>().write(*list);
            sync::in_order();
            *list = at.as_ptr();
        }
    });
}

impl Slots {
    fn get(&mut self, slot: usize) -> Option<NonNull<u8>> {
        let list = &mut self.free[index(slot)];
        if let Some(at) = NonNull::new(*list) {
            // SAFETY: [POOL-LOCKED] a slot on the list holds the next in its
            // first word.
            *list = unsafe { at.cast::<*mut u8>().read() };
            return Some(at);
        }
        // Larger things start at a multiple of their size, up to a page.
        let skip = self.next.align_offset(slot.min(4096));
        if self.next.is_null() || self.left < slot + skip {
            return None;
        }
        let at = self.next.wrapping_add(skip);
        // Less is left first: the rest is whole after every single store.
        self.left -= slot + skip;
        sync::in_order();
        self.next = at.wrapping_add(slot);
        NonNull::new(at)
    }
}

/// Maps another segment, twice the size of all so far, within bounds. No
/// lock is held across the system calls; two threads may both do it, and the
/// rest of one segment is then not used.
#[cold]
fn grow() -> Option<()> {
    let size = POOL.mapped.load(order::hint()).clamp(FIRST_SEGMENT, LAST_SEGMENT);
    let (at, size) = segment(size).or_else(|| segment(FIRST_SEGMENT))?;
    let _held = POOL.lock.take()?;
    POOL.mapped.fetch_add(size, order::count());
    POOL.slots.with(|slots| {
        // SAFETY: [POOL-LOCKED].
        let slots = unsafe { &mut *slots };
        slots.left = 0;
        sync::in_order();
        slots.next = at.as_ptr();
        sync::in_order();
        slots.left = size;
        if let Some(segment) = slots.segments.get_mut(slots.count) {
            *segment = (at.as_ptr(), size);
            sync::in_order();
            slots.count += 1;
        }
    });
    Some(())
}

fn segment(size: usize) -> Option<(NonNull<u8>, usize)> {
    let whole = sys::reserve(size + 2 * GUARD)?;
    // SAFETY: the guard lies within the reservation.
    let at = unsafe { whole.add(GUARD) };
    // SAFETY: [guard, guard + size) lies within what was just reserved.
    if unsafe { sys::commit(at.as_ptr(), size) } {
        return Some((at, size));
    }
    // SAFETY: nobody knows the reservation yet.
    unsafe { sys::release(whole.as_ptr(), size + 2 * GUARD) };
    None
}

/// The segments: where each is, and its bytes. They are never unmapped.
pub(crate) fn segments() -> impl Iterator<Item = (*mut u8, usize)> {
    (0..SEGMENTS).map_while(|index| {
        let _held = POOL.lock.take()?;
        POOL.slots.with(|slots| {
            // SAFETY: [POOL-LOCKED].
            let slots = unsafe { &*slots };
            slots.segments[..slots.count].get(index).copied()
        })
    })
}

/// Bytes of metadata in slots that are in use.
pub(crate) fn used() -> usize {
    POOL.used.load(order::count())
}

/// In the child of a fork: the lists are whole after every single store, so
/// an orphaned lock is simply free again.
pub(crate) fn after_fork() {
    if POOL.lock.is_orphaned() {
        POOL.lock.reset();
    }
}

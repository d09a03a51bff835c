//! The tail of a thread cache: the rest of the cache's page. It is divided into
//! units of 32 bytes, with one bit for each, and holds the arrays of the thread's
//! small magazines (1 or 2 units), so that they are purged with the page after the
//! thread has ended. Larger arrays, and those that find no room, come from the
//! metadata allocator.
//!
//! ```text
//!  │ cache │ unit │ unit │ unit │ unit │ ··· │  end of the page
//!          └ start       └─ 2 units ───┘
//! ```

use core::ptr::{self, NonNull};

use crate::base::bits;
use crate::pages::metadata;

/// Bytes of the smallest slot; larger slots are multiples of it.
const UNIT: usize = 32;
/// Units of the largest slot.
const LARGEST_UNITS: usize = 2;

/// \[OWNER-ONLY\] The tail of one thread's cache.
pub(super) struct Tail {
    start: *mut u8,
    bytes: usize,
    /// One bit a unit, set while it is free.
    free: u64,
}

impl Tail {
    /// A tail without room.
    pub(crate) const fn empty() -> Self {
        Tail { start: ptr::null_mut(), bytes: 0, free: 0 }
    }

    /// A tail of `bytes`: 1 to 64 units.
    ///
    /// # Safety
    /// The caller owns the memory, which starts at a multiple of 64 B.
    pub(crate) unsafe fn new(start: *mut u8, bytes: usize) -> Self {
        Tail { start, bytes, free: bits::mask(0, bytes / UNIT) }
    }

    /// A slot of `bytes`: a power of two, from [`metadata::slot_bytes`].
    pub(crate) fn get(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let units = bytes / UNIT;
        let places = if units > LARGEST_UNITS { 0 } else { bits::aligned_runs(self.free, units) };
        if places == 0 {
            return metadata::alloc(bytes);
        }
        let at = places.trailing_zeros() as usize;
        self.free &= !bits::mask(at, units);
        NonNull::new(self.start.wrapping_add(at * UNIT))
    }

    /// Whether a slot lies in the tail. Right behind it lie slots of the metadata
    /// allocator, which may belong to the same thread.
    fn holds(&self, at: NonNull<u8>) -> bool {
        at.addr().get().wrapping_sub(self.start.addr()) < self.bytes
    }

    /// Frees a slot of `bytes`.
    ///
    /// # Safety
    /// It came from [`get`](Self::get) with the same size, and is no longer used.
    pub(crate) unsafe fn put(&mut self, at: NonNull<u8>, bytes: usize) {
        if self.holds(at) {
            let first = (at.addr().get() - self.start.addr()) / UNIT;
            self.free |= bits::mask(first, bytes / UNIT);
        } else {
            // SAFETY: by the caller; it does not lie in the tail.
            unsafe { metadata::free(at, bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for nine units, and aligned to two.
    #[repr(align(64))]
    struct Page([u8; 9 * UNIT + 20]);

    #[test]
    fn slots_lie_apart_and_come_again() {
        let mut page = Page([0; 9 * UNIT + 20]);
        let room = page.0.as_mut_ptr_range();
        let is_here = |at: &NonNull<u8>| room.contains(&at.as_ptr());
        // SAFETY: this test owns the memory.
        let mut tail = unsafe { Tail::new(room.start, page.0.len()) };
        for _ in 0..3 {
            let one = tail.get(UNIT).unwrap();
            let twos = [(); 4].map(|()| tail.get(2 * UNIT).unwrap());
            let ones = [(); 3].map(|()| tail.get(UNIT).unwrap());
            assert!(twos.iter().all(|two| two.addr().get() % (2 * UNIT) == 0));
            // One unit is taken first, so three of the four pairs fit into the nine
            // units, and two single units are left.
            assert_eq!(twos.iter().filter(|two| is_here(two)).count(), 3);
            assert_eq!(ones.iter().filter(|one| is_here(one)).count(), 2);
            let large = tail.get(4 * UNIT).unwrap();
            assert!(!is_here(&large));
            let starts = twos.iter().chain(&ones).chain([&one, &large]);
            for (nth, slot) in starts.clone().enumerate() {
                assert!(starts.clone().skip(nth + 1).all(|other| other != slot));
            }
            for two in &twos {
                let half = two.addr().get() + UNIT;
                assert!(ones.iter().all(|one| one.addr().get() != half), "a slot in another");
            }
            // SAFETY: they came from this tail.
            unsafe {
                tail.put(large, 4 * UNIT);
                tail.put(one, UNIT);
                twos.into_iter().for_each(|two| tail.put(two, 2 * UNIT));
                ones.into_iter().for_each(|one| tail.put(one, UNIT));
            }
            assert_eq!(tail.free, bits::mask(0, 9));
        }
    }

    #[test]
    fn what_lies_behind_is_not_its_own() {
        let mut page = Page([0; 9 * UNIT + 20]);
        let start = NonNull::from(&mut page.0).cast::<u8>();
        // SAFETY: this test owns the memory.
        let tail = unsafe { Tail::new(start.as_ptr(), 4 * UNIT) };
        // SAFETY: both lie in the same memory.
        let (last, behind) = unsafe { (start.add(3 * UNIT), start.add(4 * UNIT)) };
        assert!(tail.holds(start) && tail.holds(last) && !tail.holds(behind));
    }

    #[test]
    fn what_has_no_room_is_of_the_pool() {
        let mut tail = Tail::empty();
        let slot = tail.get(UNIT).unwrap();
        // SAFETY: it came from this tail.
        unsafe { tail.put(slot, UNIT) };
        assert_eq!(tail.free, 0);
    }
}

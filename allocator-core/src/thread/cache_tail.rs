//! The tail of a cache: what is left of its page holds the thread's small
//! magazines, so that they go back with it when the thread has ended. Larger
//! ones, and those for which there is no room, come from the pool.

use core::ptr::{self, NonNull};

use crate::base::bits;
use crate::pages::metadata;

/// Bytes of the smallest slot, and of the step from one to the next.
const UNIT: usize = 32;
/// Units of the largest slot.
const LARGEST_UNITS: usize = 2;

/// \[OWNER-ONLY\] One thread's.
pub(super) struct Tail {
    start: *mut u8,
    bytes: usize,
    /// One bit a unit: it is free.
    free: u64,
}

impl Tail {
    /// One without room.
    pub(crate) const fn empty() -> Self {
        Tail { start: ptr::null_mut(), bytes: 0, free: 0 }
    }

    /// One of so many bytes: 1 to 64 units.
    ///
    /// # Safety
    /// The memory is the caller's, and starts at a multiple of 64 B.
    pub(crate) unsafe fn new(start: *mut u8, bytes: usize) -> Self {
        Tail { start, bytes, free: bits::mask(0, bytes / UNIT) }
    }

    /// A slot of so many bytes: a power of two, as [`metadata::slot_bytes`] says.
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

    /// Whether a slot lies here. Right behind, there are slots of the pool, which may
    /// be the same thread's.
    fn holds(&self, at: NonNull<u8>) -> bool {
        at.addr().get().wrapping_sub(self.start.addr()) < self.bytes
    }

    /// Takes a slot of so many bytes back.
    ///
    /// # Safety
    /// It came from [`get`](Self::get) with the same size, and is not used any more.
    pub(crate) unsafe fn put(&mut self, at: NonNull<u8>, bytes: usize) {
        if self.holds(at) {
            let first = (at.addr().get() - self.start.addr()) / UNIT;
            self.free |= bits::mask(first, bytes / UNIT);
        } else {
            // SAFETY: by the caller; it does not lie here.
            unsafe { metadata::free(at, bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room for nine units, aligned to two.
    #[repr(align(64))]
    struct Page([u8; 9 * UNIT + 20]);

    #[test]
    fn slots_lie_apart_and_come_again() {
        let mut page = Page([0; 9 * UNIT + 20]);
        let room = page.0.as_mut_ptr_range();
        let is_here = |at: &NonNull<u8>| room.contains(&at.as_ptr());
        // SAFETY: the room is ours.
        let mut tail = unsafe { Tail::new(room.start, page.0.len()) };
        for _ in 0..3 {
            let one = tail.get(UNIT).unwrap();
            let twos = [(); 4].map(|()| tail.get(2 * UNIT).unwrap());
            let ones = [(); 3].map(|()| tail.get(UNIT).unwrap());
            assert!(twos.iter().all(|two| two.addr().get() % (2 * UNIT) == 0));
            // Of nine units, one and a half pair were left for pairs.
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
            // SAFETY: they came from there.
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
        // SAFETY: the room is ours.
        let tail = unsafe { Tail::new(start.as_ptr(), 4 * UNIT) };
        // SAFETY: still in the room.
        let (last, behind) = unsafe { (start.add(3 * UNIT), start.add(4 * UNIT)) };
        assert!(tail.holds(start) && tail.holds(last) && !tail.holds(behind));
    }

    #[test]
    fn what_has_no_room_is_of_the_pool() {
        let mut tail = Tail::empty();
        let slot = tail.get(UNIT).unwrap();
        // SAFETY: it came from there.
        unsafe { tail.put(slot, UNIT) };
        assert_eq!(tail.free, 0);
    }
}

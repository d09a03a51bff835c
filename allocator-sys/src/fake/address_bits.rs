//! Playing kernels that give a program fewer bits of addresses.

use crate::linux::{self, MapError};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The overridden number of bits; 0 if there is none.
static BITS: AtomicU32 = AtomicU32::new(0);

/// Where the next reservation ends.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The share of the addresses that the kernel leaves free at the top, for the stack and
/// at random.
const TOP_SHARE: usize = 64;

/// The distance of places that are tried.
const STEP: usize = 1 << 21;

/// Overrides the bits of addresses, at most as many as there are; `None` removes the
/// override. Nothing is mapped above, and `reserve` chooses addresses from there down,
/// as the kernel does. Set it before anything is mapped.
pub fn set_address_bits(bits: Option<u32>) {
    let end = bits.map_or(0, |bits| 1 << bits);
    NEXT.store(end - end / TOP_SHARE, Ordering::Relaxed);
    BITS.store(bits.unwrap_or(0), Ordering::Relaxed);
}

/// Whether a range that ends here is above all addresses that there are.
pub(super) fn ends_outside(end: usize) -> bool {
    match BITS.load(Ordering::Relaxed) {
        0 => false,
        bits => end > 1 << bits,
    }
}

/// Same as [`crate::reserve`], within the addresses that there are.
pub(super) fn reserve(size: usize) -> Option<NonNull<u8>> {
    if BITS.load(Ordering::Relaxed) == 0 {
        return linux::reserve(size);
    }
    let mut end = NEXT.load(Ordering::Relaxed);
    loop {
        let at = end.checked_sub(size)? & !(linux::page_size() - 1);
        let start = NonNull::new(ptr::with_exposed_provenance_mut(at))?;
        // SAFETY: whole pages, and not at address 0.
        match unsafe { linux::reserve_at(start.as_ptr(), size) } {
            Ok(()) => {
                NEXT.store(at, Ordering::Relaxed);
                return Some(start);
            }
            Err(MapError::Taken) => end = end.checked_sub(STEP)?,
            Err(MapError::NoMemory | MapError::Stays) => return None,
        }
    }
}

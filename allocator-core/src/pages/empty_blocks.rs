//! Blocks of no bytes, as C's `malloc(0)` requests them: addresses without access, each with
//! a bit of its own. A read or a write of one faults, and a second free finds its bit clear.
//! There are so many; more requests are given blocks that can be written to.
//!
//! ```text
//!  │ an address every 16 B: 65,536      │ none: accesses far beyond fault, too │
//!  ├──────────── 1 MiB ─────────────────┼──────────── 1 MiB ───────────────────┤
//! ```

use core::ptr;

use crate::base::misuse::{Location, Misuse, Report};
use crate::base::ordering;
use crate::base::size_class::ANY;
use crate::base::sync::{AtomicPtr, AtomicU32, AtomicU64};
use crate::sys;

/// Bytes of addresses with blocks.
const USED: usize = 1 << 20;
/// Bytes of all addresses.
const BYTES: usize = 2 * USED;
/// Words of bits.
const WORDS: usize = USED / ANY / 64;
/// Words looked at for a free bit.
const LOOKS: usize = 16;

/// The first address; null before the first request.
static BASE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
/// Set bits are blocks in use.
static BITS: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
/// Counts requests: each looks at another word than the last one, so that what was freed is
/// not handed out again soon.
static TURN: AtomicU32 = AtomicU32::new(0);

/// A block; `None` if there is none left, or the system has no addresses.
pub(crate) fn get() -> Option<*mut u8> {
    let base = base()?;
    let turn = TURN.fetch_add(1, ordering::empty_blocks()) as usize;
    (0..LOOKS).find_map(|look| {
        let at = (turn + look) % WORDS;
        let word = &BITS[at];
        let first = (turn / WORDS) as u32 % u64::BITS;
        let free = (!word.load(ordering::empty_blocks())).rotate_right(first);
        let bit = (free.trailing_zeros() + first) % u64::BITS;
        let before = word.fetch_or(1 << bit, ordering::empty_blocks());
        (before >> bit & 1 == 0).then(|| base.wrapping_add((at * 64 + bit as usize) * ANY))
    })
}

/// The first address, reserved at the first request.
fn base() -> Option<*mut u8> {
    let base = BASE.load(ordering::empty_blocks());
    if base.is_null() { reserve() } else { Some(base) }
}

#[cold]
fn reserve() -> Option<*mut u8> {
    let fresh = sys::reserve(BYTES)?.as_ptr();
    let placed = BASE.compare_exchange(
        ptr::null_mut(),
        fresh,
        ordering::empty_blocks(),
        ordering::empty_blocks(),
    );
    let Err(base) = placed else { return Some(fresh) };
    // Another thread was first.
    // SAFETY: it was just reserved, and nobody knows of it.
    unsafe { sys::release(fresh, BYTES) };
    Some(base)
}

/// Whether a pointer lies among the blocks.
#[inline]
pub(crate) fn has(ptr: *mut u8) -> bool {
    let base = BASE.load(ordering::empty_blocks());
    !base.is_null() && ptr.addr().wrapping_sub(base.addr()) < BYTES
}

/// Frees a block, which lies among them. A misuse ends the process: the caller holds no lock.
pub(crate) fn put(ptr: *mut u8) {
    let (word, bit) = place(ptr);
    if word.fetch_and(!(1 << bit), ordering::empty_blocks()) >> bit & 1 == 0 {
        report(Misuse::DoubleFree, ptr);
    }
}

/// Ends the process if no block in use is at a pointer, which lies among them.
pub(crate) fn check(ptr: *mut u8) {
    let (word, bit) = place(ptr);
    if word.load(ordering::empty_blocks()) >> bit & 1 == 0 {
        report(Misuse::DoubleFree, ptr);
    }
}

fn place(ptr: *mut u8) -> (&'static AtomicU64, usize) {
    let offset = ptr.addr() - BASE.load(ordering::empty_blocks()).addr();
    match BITS.get(offset / ANY / 64) {
        Some(word) if offset.is_multiple_of(ANY) => (word, offset / ANY % 64),
        _ => report(Misuse::Interior, ptr),
    }
}

#[cold]
fn report(what: Misuse, ptr: *mut u8) -> ! {
    Report { what, ptr, location: Location { span: 0, block: 0 }, size: 0 }.abort()
}

/// Gives the addresses back, unless a block is in use.
///
/// # Safety
/// Nobody uses the allocator any more.
pub(crate) unsafe fn release() {
    let base = BASE.load(ordering::empty_blocks());
    if !base.is_null() && BITS.iter().all(|word| word.load(ordering::empty_blocks()) == 0) {
        // SAFETY: by the caller; it was reserved.
        unsafe { sys::release(base, BYTES) };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn each_has_an_address_of_its_own_and_is_not_handed_out_again_soon() {
        let mut blocks: Vec<_> = (0..1 << 16).map(|_| get().expect("there are so many")).collect();
        assert_eq!(get(), None);
        blocks.sort_unstable();
        blocks.dedup();
        let first = blocks[0];
        assert!(blocks.iter().enumerate().all(|(i, block)| *block == first.wrapping_add(i * 16)));
        assert_eq!(blocks.len(), 1 << 16);
        assert!(blocks.iter().all(|block| has(*block)));
        assert!(has(first.wrapping_add((2 << 20) - 1)));
        assert!(!has(first.wrapping_add(2 << 20)) && !has(first.wrapping_sub(1)));
        // Only the one that is free is handed out.
        let free = blocks[12_345];
        put(free);
        assert_eq!((0..WORDS).find_map(|_| get()), Some(free));
        blocks.iter().for_each(|block| check(*block));
        blocks.into_iter().for_each(put);
        let mut last = get().expect("all are free");
        for _ in 0..1000 {
            put(last);
            let next = get().expect("all are free");
            assert!(last.addr().abs_diff(next.addr()) >= 64 * 16);
            last = next;
        }
        put(last);
    }
}

//! The addresses of the window, chunk by chunk: which are taken. Only
//! addresses: whoever takes some maps memory there, without the lock.

use core::ptr;

use crate::lock::Lock;
use crate::map::{CHUNK, MAP, PIECE};
use crate::order;
use crate::sync::{AtomicUsize, Guarded};
use crate::sys::{self, MapError};

struct Space {
    lock: Lock,
    taken: Guarded<Taken>,
    /// Bytes that we have mapped in the window.
    mapped: AtomicUsize,
}

/// \[SPACE-LOCKED\] One bit a chunk: set, it is taken.
struct Taken {
    words: *mut u64,
    /// Chunks in the window.
    chunks: usize,
    /// All chunks below this one are taken.
    low: usize,
}

// SAFETY: [SPACE-LOCKED] the bits are touched only under the lock.
unsafe impl Sync for Space {}

static SPACE: Space = Space {
    lock: Lock::new(),
    taken: Guarded::new(Taken { words: ptr::null_mut(), chunks: 0, low: 0 }),
    mapped: AtomicUsize::new(0),
};

/// Bytes of the table for a window of `chunks`.
pub(crate) const fn table_bytes(chunks: usize) -> usize {
    chunks / 8
}

/// Attempts before a window full of other people's mappings counts as full.
const ATTEMPTS: usize = 64;

/// Says where the bits are (all zero), once, while nobody else runs.
pub(crate) fn place(words: *mut u64, chunks: usize) {
    SPACE.taken.with(|taken| {
        // SAFETY: nobody else runs yet.
        unsafe { taken.write(Taken { words, chunks, low: 0 }) }
    });
}

fn locked<R>(f: impl FnOnce(&mut Taken) -> R) -> Option<R> {
    let _held = SPACE.lock.take()?;
    // SAFETY: [SPACE-LOCKED].
    Some(SPACE.taken.with(|taken| f(unsafe { &mut *taken })))
}

/// Takes `count` chunks of addresses, the first a multiple of `align` chunks.
pub(crate) fn take(count: usize, align: usize) -> Option<usize> {
    locked(|taken| taken.take(count, align))?
}

/// Takes `count` chunks of addresses from chunk `at`, if all are free.
pub(crate) fn take_at(at: usize, count: usize) -> bool {
    locked(|taken| {
        let free = at + count <= taken.chunks && taken.first_taken(at, count).is_none();
        if free {
            taken.mark(at, count, true);
        }
        free
    })
    .unwrap_or(false)
}

/// Gives addresses back. Nothing of ours is mapped there any more.
pub(crate) fn give_back(at: usize, count: usize) {
    locked(|taken| {
        taken.mark(at, count, false);
        taken.low = taken.low.min(at);
    });
}

/// Takes `count` chunks of addresses and maps the first `bytes` there: fresh
/// zeroed memory. Returns the first chunk. The caller holds no lock.
pub(crate) fn map(count: usize, align: usize, bytes: usize) -> Option<usize> {
    for _ in 0..ATTEMPTS {
        let at = take(count, align)?;
        if !MAP.open(at + bytes.div_ceil(CHUNK)) {
            give_back(at, count);
            return None;
        }
        // SAFETY: the addresses are ours to use; nothing of ours is there.
        match unsafe { sys::map_at(MAP.chunk_base(at), bytes) } {
            Ok(()) => {
                SPACE.mapped.fetch_add(bytes, order::count());
                return Some(at);
            }
            // Somebody else's mapping: its addresses stay taken, for good.
            Err(MapError::Taken) => {}
            Err(MapError::NoMemory) => {
                give_back(at, count);
                return None;
            }
        }
    }
    None
}

/// Unmaps what [`map`] mapped. If the system refuses, the memory is purged
/// and its addresses stay taken.
///
/// # Safety
/// Nobody uses the memory any more.
pub(crate) unsafe fn unmap(at: usize, count: usize, bytes: usize) {
    let base = MAP.chunk_base(at);
    SPACE.mapped.fetch_sub(bytes, order::count());
    // SAFETY: by the caller.
    if unsafe { sys::release(base, bytes) } {
        give_back(at, count);
    } else {
        // SAFETY: likewise.
        unsafe { sys::purge(base, bytes) };
    }
}

/// Notes that a mapping in the window grew or shrank.
pub(crate) fn resized(old: usize, new: usize) {
    SPACE.mapped.fetch_add(new.wrapping_sub(old), order::count());
}

/// Bytes mapped for blocks.
pub(crate) fn mapped() -> usize {
    SPACE.mapped.load(order::count())
}

/// Gives back the addresses of tables that nothing has used yet, where the
/// addresses of the process are limited: the window ends there from now on.
/// Says whether that freed any.
#[cold]
pub(crate) fn end_window() -> bool {
    if sys::address_limit().is_none() {
        return false;
    }
    match locked(|taken| taken.end(MAP.opened_chunks())) {
        Some((old, now)) if now < old => {
            MAP.close(now, old);
            true
        }
        _ => false,
    }
}

/// In the child of a fork: each bit is whole by itself.
pub(crate) fn after_fork() {
    if SPACE.lock.is_orphaned() {
        SPACE.lock.reset();
    }
}

impl Taken {
    /// Ends the window behind the chunks below `opened` and those that are
    /// taken. Returns where it ended before, and ends now.
    fn end(&mut self, opened: usize) -> (usize, usize) {
        let used = (0..self.chunks / 64).rev().find_map(|i| {
            let word = self.word(i * 64);
            (word != 0).then(|| i * 64 + 64 - word.leading_zeros() as usize)
        });
        let old = self.chunks;
        self.chunks = old.min(opened.max(used.unwrap_or(0).next_multiple_of(PIECE)));
        (old, self.chunks)
    }

    fn word(&self, at: usize) -> u64 {
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { self.words.add(at / 64).read() }
    }

    fn take(&mut self, count: usize, align: usize) -> Option<usize> {
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

    /// The first free chunk at or after `at` (or the window's end).
    fn next_free(&self, mut at: usize) -> usize {
        while at < self.chunks {
            let free = !self.word(at) >> (at % 64);
            if free != 0 {
                return (at + free.trailing_zeros() as usize).min(self.chunks);
            }
            at = (at / 64 + 1) * 64;
        }
        self.chunks
    }

    /// The first taken chunk of `count` from `from`.
    fn first_taken(&self, from: usize, count: usize) -> Option<usize> {
        let mut at = from;
        while at < from + count {
            let taken = self.word(at) >> (at % 64);
            if taken != 0 {
                let found = at + taken.trailing_zeros() as usize;
                return (found < from + count).then_some(found);
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }

    fn mark(&mut self, at: usize, count: usize, taken: bool) {
        for chunk in at..at + count {
            // SAFETY: [SPACE-LOCKED] the table covers the window.
            let word = unsafe { &mut *self.words.add(chunk / 64) };
            let bit = 1 << (chunk % 64);
            *word = if taken { *word | bit } else { *word & !bit };
        }
    }
}

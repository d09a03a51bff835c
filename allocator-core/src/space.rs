//! The addresses of the window, chunk by chunk: which are taken. Only
//! addresses: whoever takes some maps memory there, without the lock.
//!
//! Where the system refuses to unmap (a process may have only so many
//! mappings, and a hole makes one of them two), a chunk is *spare*: taken, its
//! memory given back, and the first to be used again.

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
    /// One bit a chunk: set, it is spare.
    spares: *mut u64,
    /// Chunks that are spare.
    spare: usize,
}

// SAFETY: [SPACE-LOCKED] the bits are touched only under the lock.
unsafe impl Sync for Space {}

static SPACE: Space = Space {
    lock: Lock::new(),
    taken: Guarded::new(Taken::new(ptr::null_mut(), 0)),
    mapped: AtomicUsize::new(0),
};

/// Bytes of the tables for a window of `chunks`.
pub(crate) const fn table_bytes(chunks: usize) -> usize {
    2 * chunks / 8
}

/// Attempts before a window full of other people's mappings counts as full.
const ATTEMPTS: usize = 64;

/// Says where the bits are (all zero), once, while nobody else runs.
pub(crate) fn place(words: *mut u64, chunks: usize) {
    SPACE.taken.with(|taken| {
        // SAFETY: nobody else runs yet.
        unsafe { taken.write(Taken::new(words, chunks)) }
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
    if (count, align, bytes) == (1, 1, CHUNK)
        && let Some(at) = locked(Taken::take_spare)?
    {
        // SAFETY: it was spare, and is ours now.
        if unsafe { sys::commit(MAP.chunk_base(at), bytes) } {
            SPACE.mapped.fetch_add(bytes, order::count());
            return Some(at);
        }
        locked(|taken| taken.set_spare(at, true));
    }
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

/// Unmaps what [`map`] mapped. If the system refuses, the memory is purged,
/// and the chunks are spare.
///
/// # Safety
/// Nobody uses the memory any more.
pub(crate) unsafe fn unmap(at: usize, count: usize, bytes: usize) {
    let base = MAP.chunk_base(at);
    SPACE.mapped.fetch_sub(bytes, order::count());
    // SAFETY: by the caller.
    if unsafe { sys::release(base, bytes) } {
        give_back(at, count);
        return;
    }
    // SAFETY: likewise.
    if unsafe { sys::purge(base, bytes) } {
        // A chunk that is mapped in part stays taken.
        let whole = bytes / CHUNK;
        locked(|taken| (at..at + whole).for_each(|chunk| taken.set_spare(chunk, true)));
        give_back(at + bytes.div_ceil(CHUNK), count - bytes.div_ceil(CHUNK));
    }
}

/// Unmaps spare chunks, as far as the system allows by now.
pub(crate) fn unmap_spares() {
    while let Some(Some(at)) = locked(Taken::take_spare) {
        // SAFETY: it was spare, and is ours now.
        if !unsafe { sys::release(MAP.chunk_base(at), CHUNK) } {
            locked(|taken| taken.set_spare(at, true));
            return;
        }
        give_back(at, 1);
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
    const fn new(words: *mut u64, chunks: usize) -> Self {
        Taken { words, chunks, low: 0, spares: words.wrapping_add(chunks / 64), spare: 0 }
    }

    /// Takes a spare chunk, if there is one.
    #[inline]
    fn take_spare(&mut self) -> Option<usize> {
        if self.spare == 0 {
            return None;
        }
        self.find_spare()
    }

    #[cold]
    fn find_spare(&mut self) -> Option<usize> {
        for i in 0..self.chunks / 64 {
            // SAFETY: [SPACE-LOCKED] the table covers the window.
            let word = unsafe { self.spares.add(i).read() };
            if word != 0 {
                let at = i * 64 + word.trailing_zeros() as usize;
                self.set_spare(at, false);
                return Some(at);
            }
        }
        None
    }

    fn set_spare(&mut self, at: usize, spare: bool) {
        // SAFETY: [SPACE-LOCKED] the table covers the window.
        unsafe { set(self.spares, at, spare) };
        self.spare = if spare { self.spare + 1 } else { self.spare - 1 };
    }

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

//! Every memory ordering of the allocator, each under a name, with its
//! partner and what it publishes. No other file names an `Ordering`.
//!
//! The models weaken each of these to `Relaxed`, one at a time, and must fail.

use core::sync::atomic::Ordering;

macro_rules! orderings {
    ($($(#[$doc:meta])* $name:ident = $order:ident;)*) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name() -> Ordering {
                crate::base::sync::ordering(stringify!($name), Ordering::$order)
            }
        )*

        /// The names above, with the ordering of each.
        #[cfg(strata_loom)]
        pub(crate) const ALL: &[(&str, Ordering)] =
            &[$((stringify!($name), Ordering::$order)),*];
    };
}

orderings! {
    /// Taking a lock. Partner: `lock_release`. Sees all that the last holder wrote.
    lock_acquire = Acquire;
    /// Giving a lock back. Partner: `lock_acquire`. Publishes the holder's writes.
    lock_release = Release;

    /// Pushing a batch. Partner: `remote_take_all`, `remote_close`. Publishes the batch's
    /// contents, and with them the last writes of the threads that freed the blocks.
    remote_push = Release;
    /// Taking all batches. Partner: `remote_push`.
    remote_take_all = Acquire;
    /// Closing an remote queue, which takes what is in it. Partner: `remote_push`.
    /// Publishes the map entries written while its spans were re-homed, to
    /// `remote_refused`.
    remote_close = AcqRel;
    /// A push that met the closed mark. Partner: `remote_close`: the sender
    /// now reads the owners that the closer wrote.
    remote_refused = Acquire;

    /// A span gets another heap. Partner: `span_heap_check`. Publishes the span's
    /// body as the last heap's holder left it.
    span_heap_set = Release;
    /// Asking whose a span is, under the lock of the one who asks.
    /// Partner: `span_heap_set`.
    span_heap_check = Acquire;

    /// Claiming free granules of a chunk. Partner: `granules_return`: sees the
    /// last use of their metadata ended.
    granules_claim = Acquire;
    /// Giving granules back. Partner: `granules_claim`, `chunk_claim`.
    /// Publishes that their map entries are cleared and their span retired.
    granules_return = Release;
    /// Claiming a chunk that is all free, to unmap it. Partner:
    /// `granules_return` of every granule.
    chunk_claim = Acquire;

    /// "This chunk may have room." Partner: `index_clear`. Publishes nothing
    /// but itself: the mask is read again after it.
    index_mark = Release;
    /// Taking a chunk off the list of those with room, and looking once more.
    /// Partner: `index_mark`.
    index_clear = Acquire;
    /// Looking for a chunk with room. Partner: `index_mark`.
    index_read = Acquire;

    /// The allocator is set up. Partner: `init_seen`. Publishes all tables.
    init_done = Release;
    /// See `init_done`.
    init_seen = Acquire;

    /// A record gets its place in a table (heaps, arenas). Partner: `published_get`.
    /// Publishes the record.
    published_set = Release;
    /// See `published_set`.
    published_get = Acquire;

    /// A number for statistics: no other data is read on its word.
    count = Relaxed;
    /// A guess that is checked by the read-modify-write, or under the lock,
    /// that follows it.
    hint = Relaxed;
    /// A bit that only whoever has claimed its granule changes: the claims
    /// order these changes.
    claimed = Relaxed;
    /// A word that only its owner writes, read by the owner; others who read
    /// it want the number alone.
    owner = Relaxed;
    /// The map, read through a block. Whoever holds a block got it, through
    /// whatever handed it over, after its entry was written: coherence then
    /// forbids an older value, and no other data is read on its word.
    through_block = Relaxed;
}

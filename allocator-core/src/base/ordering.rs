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
    /// Taking a lock. Partner: `lock_free`. Sees all that the last holder wrote.
    lock_take = Acquire;
    /// Giving a lock back. Partner: `lock_take`. Publishes the holder's writes.
    lock_free = Release;

    /// Posting a box. Partner: `inbox_take`, `inbox_close`. Publishes the box's
    /// contents, and with them the last writes of the threads that freed the blocks.
    inbox_post = Release;
    /// Taking all boxes. Partner: `inbox_post`.
    inbox_take = Acquire;
    /// Closing an inbox, which takes what is in it. Partner: `inbox_post`.
    /// Publishes the map entries written while its spans were re-homed, to
    /// `inbox_refused`.
    inbox_close = AcqRel;
    /// A post that met the closed mark. Partner: `inbox_close`: the poster
    /// now reads the owners that the closer wrote.
    inbox_refused = Acquire;

    /// A span gets another home. Partner: `home_check`. Publishes the span's
    /// body as the last home's holder left it.
    home_move = Release;
    /// Asking whose a span is, under the lock of the one who asks.
    /// Partner: `home_move`.
    home_check = Acquire;

    /// Claiming free granules of a chunk. Partner: `granules_free`: sees the
    /// last use of their metadata ended.
    granules_claim = Acquire;
    /// Giving granules back. Partner: `granules_claim`, `chunk_claim`.
    /// Publishes that their map entries are cleared and their span retired.
    granules_free = Release;
    /// Claiming a chunk that is all free, to unmap it. Partner:
    /// `granules_free` of every granule.
    chunk_claim = Acquire;

    /// "This chunk may have room." Partner: `room_check`. Publishes nothing
    /// but itself: the mask is read again after it.
    room_mark = Release;
    /// Taking a chunk off the list of those with room, and looking once more.
    /// Partner: `room_mark`.
    room_check = Acquire;
    /// Looking for a chunk with room. Partner: `room_mark`.
    room_check_read = Acquire;

    /// The allocator is set up. Partner: `init_seen`. Publishes all tables.
    init_done = Release;
    /// See `init_done`.
    init_seen = Acquire;

    /// A record gets its place in a table (homes, arenas). Partner: `table_read`.
    /// Publishes the record.
    table_publish = Release;
    /// See `table_publish`.
    table_read = Acquire;

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

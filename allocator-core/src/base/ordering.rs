//! Every memory ordering of the allocator, each under a name. No other file names
//! an `Ordering`.
//!
//! An acquire, a release or both: `Pairs with` names the labels at the other end, and
//! the models in `loom-tests` fail when one of the two is weakened.
//!
//! A relaxed one belongs to one word, or to a few that change together: `Written by`
//! and `Read by` name the functions at both ends, `Other end` the other labels under
//! which the word is written or read, and `Relaxed` says why no order is needed.
//!
//! `laws/tests/orderings.rs` compares all of it with the source.

use core::sync::atomic::Ordering;

macro_rules! orderings {
    ($($(#[$doc:meta])* $name:ident = $order:ident;)*) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            #[cfg_attr(strata_loom, track_caller)]
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
    // Lock.

    /// Takes a lock, or a flag that is used as one. Sees all that the last holder wrote.
    /// Pairs with: `lock_release`.
    lock_acquire = Acquire;

    /// Gives a lock back, or such a flag. Publishes all that the holder wrote.
    /// Pairs with: `lock_acquire`.
    lock_release = Release;

    // Once and tables.

    /// Ends the set-up. Publishes all tables.
    /// Pairs with: `init_seen`.
    init_done = Release;

    /// Finds the set-up done, or tries to begin it.
    /// Pairs with: `init_done`.
    init_seen = Acquire;

    /// Puts a record into its slot of a table. Publishes the record.
    /// Pairs with: `published_get`.
    published_set = Release;

    /// Looks a record up in its slot.
    /// Pairs with: `published_set`.
    published_get = Acquire;

    /// Empties a slot: nothing is published.
    /// Written by: `published::withdraw`.
    /// Other end: `published_set`, `published_get`.
    /// Relaxed: who still finds the record finds memory that stays.
    published_withdrawn = Relaxed;

    // Memory that waits for a lock.

    /// Keeps memory whose free has to wait. Publishes its link, and the last writes to it.
    /// Pairs with: `later_take`.
    later_keep = Release;

    /// Takes all memory that waits.
    /// Pairs with: `later_keep`.
    later_take = Acquire;

    // Remote queue.

    /// Pushes a batch. Publishes its contents, and with them the last writes of the threads that
    /// freed the blocks.
    /// Pairs with: `remote_take_all`, `remote_close`.
    remote_push = Release;

    /// Takes all batches of a queue.
    /// Pairs with: `remote_push`.
    remote_take_all = Acquire;

    /// Closes a queue, and takes the batches in it. Publishes the page map entries that were
    /// written while the spans of the heap moved.
    /// Pairs with: `remote_push`, `remote_refused`.
    remote_close = AcqRel;

    /// A push that finds the queue closed: the sender then reads the owners that the closer wrote.
    /// Pairs with: `remote_close`.
    remote_refused = Acquire;

    // Spans.

    /// Gives a span another heap. Publishes the body of the span as the holder of the last heap's
    /// lock left it.
    /// Pairs with: `span_heap_check`.
    span_heap_set = Release;

    /// Reads the heap of a span, under the lock of the heap that it is compared with.
    /// Pairs with: `span_heap_set`.
    span_heap_check = Acquire;

    // Granules and the free-space index.

    /// Claims free granules of a chunk. Sees that the last use of their metadata has ended.
    /// Pairs with: `granules_return`.
    granules_claim = Acquire;

    /// Returns granules. Publishes that their entries are cleared and their span is out of use.
    /// Pairs with: `granules_claim`, `chunk_claim`.
    granules_return = Release;

    /// Claims all granules of a chunk at once, to unmap it.
    /// Pairs with: `granules_return`.
    chunk_claim = Acquire;

    /// Notes that a chunk has room. Publishes the granules that were returned before.
    /// Pairs with: `index_clear`, `index_read`.
    index_mark = Release;

    /// Takes a chunk out of the index, before its granules are looked at once more.
    /// Pairs with: `index_mark`.
    index_clear = Acquire;

    /// Looks for a chunk with room.
    /// Pairs with: `index_mark`.
    index_read = Acquire;

    // The heap profile.

    /// Looks for a free slot for a sample. Sees that whoever freed it has read the sample.
    /// Pairs with: `profile_slot_free`.
    profile_slot_claim = Acquire;

    /// Frees the slot of a sample, which was read.
    /// Pairs with: `profile_slot_claim`.
    profile_slot_free = Release;

    // The limit.

    /// A charge went above the soft limit, or that was lowered. Publishes the charge.
    /// Pairs with: `over_check`.
    over_set = Release;

    /// Checks whether more than the soft limit is charged. Sees the charges that set the flag
    /// before it is reset.
    /// Pairs with: `over_set`.
    over_check = Acquire;

    /// Looks once more how much is charged, when the program was told. Publishes that it was.
    /// Pairs with: `committed_discharge`.
    committed_told = Release;

    /// Discharges bytes. Sees that the program was told, if that did not see what is discharged.
    /// Pairs with: `committed_told`.
    committed_discharge = Acquire;

    // Base and heaps.

    /// The word of a lock, looked at before a compare-and-swap, after a failed one, and in the
    /// child of a fork.
    /// Written by: `lock::force_unlock`, `lock::lock_slow`.
    /// Read by: `lock::is_held_here`, `lock::is_orphaned`, `lock::lock_slow`, `lock::try_lock`.
    /// Other end: `lock_acquire`, `lock_release`.
    /// Relaxed: the compare-and-swap that follows decides, and the child of a fork has one thread.
    lock_peek = Relaxed;

    /// The list of threads in nested slow paths.
    /// Written by: `nested::after_fork`, `nested::change`, `nested::forget`.
    /// Read by: `nested::after_fork`, `nested::change`, `nested::forget`, `nested::is_here`.
    /// Relaxed: a thread looks for its own token, which it wrote itself.
    nested_tokens = Relaxed;

    /// The list of memory that waits: whether there is any, and its head before an attempt to
    /// put more in front.
    /// Read by: `later::is_empty`, `later::keep`.
    /// Other end: `later_keep`, `later_take`.
    /// Relaxed: taking all of it follows, or nothing; the head is only written into the new link.
    later_peek = Relaxed;

    /// The head of a remote queue: whether there is a batch, whether it is closed.
    /// Read by: `remote_queue::has_batches`, `remote_queue::is_closed`.
    /// Other end: `remote_push`, `remote_take_all`, `remote_close`, `remote_reopen`.
    /// Relaxed: taking all batches follows, or nothing; a queue is closed only under the lock that
    /// the asker holds.
    remote_peek = Relaxed;

    /// Opens a closed queue again, for a new owner of the heap.
    /// Written by: `remote_queue::reopen`.
    /// Read by: `remote_queue::reopen`.
    /// Other end: `remote_push`, `remote_take_all`, `remote_close`, `remote_refused`,
    /// `remote_peek`.
    /// Relaxed: senders read what belongs to the new owner under its lock.
    remote_reopen = Relaxed;

    /// `RemoteQueue::depth`, about how many batches wait.
    /// Written by: `remote_queue::push`, `remote_queue::reopen`, `remote_queue::take_all`.
    /// Read by: `remote_queue::push`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    remote_depth = Relaxed;

    /// `Heap::id`.
    /// Written by: `heap::set_id`.
    /// Read by: `heap::id`.
    /// Relaxed: it is written once, before other threads know of the heap.
    heap_id = Relaxed;

    /// `Heap::epoch`, which counts the owner's slow-path calls. One thread writes it.
    /// Written by: `heap::advance_epoch`.
    /// Read by: `heap::advance_epoch`, `heap::observe_idle`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    heap_epoch = Relaxed;

    /// `Heap::seen_epoch` and `Heap::seen_at`: the epoch that was seen last, and since when.
    /// Observers may overwrite each other.
    /// Written by: `heap::observe_idle`.
    /// Read by: `heap::observe_idle`.
    /// Relaxed: a wrong answer drains a heap too early or too late, and both are safe.
    heap_idle = Relaxed;

    /// `Heap::out`, blocks of a class that left the bitmaps. The owner writes it, or the holder of
    /// an arena's lock.
    /// Written by: `heap::count_back`, `heap::count_out`.
    /// Read by: `heap::count_back`, `heap::count_out`, `heap::out`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    heap_out = Relaxed;

    /// `Count::count` of `tally`: what the owner of a heap allocated and freed. The owner writes it.
    /// Written by: `tally::add`.
    /// Read by: `tally::get`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    tally = Relaxed;

    /// For each class, whether a heap may have free blocks.
    /// Written by: `heap::note_offer`, `heap::offer_all`.
    /// Read by: `heap::note_offer`, `heap::offers`.
    /// Relaxed: a guess: who acts on it takes the lock, and looks.
    heap_offers = Relaxed;

    /// The next id of a thread's heap.
    /// Written by: `heap_table::allocate_id`.
    /// Read by: `heap_table::allocate_id`, `heap_table::thread_ids`.
    /// Relaxed: the id is used by its thread alone until the heap is published under it.
    heap_ids = Relaxed;

    // Spans and the page map.

    /// The free granules of a chunk, for a guess, or after an acquire of the index.
    /// Read by: `granules::claim`, `granules::claim_all`, `granules::free_hint`,
    /// `granules::free_seen`.
    /// Other end: `granules_claim`, `granules_return`, `chunk_claim`.
    /// Relaxed: a claim decides afterwards, or the lock of the span's heap; after `index_clear` it
    /// shows all that was returned before the bit was set.
    granules_peek = Relaxed;

    /// The dirty bits of granules.
    /// Written by: `granules::give_back`, `granules::reset_free`, `granules::take_dirty`.
    /// Read by: `granules::give_back`, `granules::reset_free`, `granules::take_dirty`.
    /// Other end: `granules_dirty_peek`.
    /// Relaxed: a bit is changed only by the thread that has claimed its granule, and the claims
    /// order these changes.
    granules_dirty = Relaxed;

    /// The dirty bits, for a guess.
    /// Read by: `granules::dirty_hint`.
    /// Other end: `granules_dirty`.
    /// Relaxed: the claim that follows decides.
    granules_dirty_peek = Relaxed;

    /// `Map::base`: where the window is.
    /// Written by: `page_map::set_base`.
    /// Read by: `page_map::chunk_base`, `page_map::entries`, `page_map::granule`,
    /// `page_map::refresh`.
    /// Relaxed: it is written once, before `init_done`, and a block is handed out after that.
    map_base = Relaxed;

    /// `Map::used`: which chunks may have been used. It only grows.
    /// Written by: `page_map::use_chunks`.
    /// Read by: `page_map::use_chunks`, `page_map::used_chunks`.
    /// Relaxed: it is raised before a chunk is mapped; who reads an older value passes over a
    /// chunk that is new.
    map_used = Relaxed;

    /// `Table::start`, and for how many addresses the tables are made.
    /// Written by: `table::place`, `tables::place`.
    /// Read by: `table::start`, `tables::placed`.
    /// Relaxed: it is written once, before `init_done`, and a block is handed out after that.
    table_place = Relaxed;

    /// How far a table is opened, or was to be.
    /// Written by: `table::close`, `table::map`.
    /// Read by: `table::after_fork`, `table::opened`.
    /// Relaxed: it is changed under a lock; others learn from `Map::readable` what they may read,
    /// and a report may show a little less.
    table_opened = Relaxed;

    /// `Map::readable`: how far the tables can be read. It only grows.
    /// Written by: `page_map::set_readable`.
    /// Read by: `page_map::entries`, `page_map::readable_chunks`, `page_map::refresh`,
    /// `page_map::set_readable`.
    /// Relaxed: a thread reads it through a block, which it got after its entry was made readable;
    /// an older value makes the slow path look again.
    map_readable = Relaxed;

    /// An entry of the page map, read through a block.
    /// Written by: `page_map::set`.
    /// Read by: `page_map::entry`, `page_map::of`.
    /// Relaxed: whoever holds a block got it, through what handed it over, after the entry was
    /// written, and coherence forbids an older value. No other data is read on its word.
    map_entry = Relaxed;

    /// `View::minus_base`: a thread's own copy of the base, which other threads invalidate to
    /// request a flush.
    /// Written by: `page_map::invalidate`, `page_map::refresh`.
    /// Read by: `page_map::entry`, `page_map::is_invalidated`.
    /// Relaxed: a request that is lost is repeated; each value is right for every pointer.
    view_offset = Relaxed;

    /// `Chunk::heads`: the first granule of each granule's span.
    /// Written by: `page_map::set_span`.
    /// Read by: `page_map::span_at`, `page_map::span_base`, `page_map::span_from`.
    /// Relaxed: it is read through a block of the span, or by the thread that claimed the granules;
    /// a search checks the span under the lock of its heap.
    span_heads = Relaxed;

    /// `Chunk::spans` and `Chunk::long_bits`: where the span records and bitmaps of a chunk are.
    /// Written by: `chunk_metadata::ensure_spans`.
    /// Read by: `arena::claim_span`, `chunk_metadata::ensure_spans`, `chunk_metadata::purge`,
    /// `page_map::span_at`, `page_map::span_from`, `page_map::was_used`.
    /// Relaxed: they are written once, before the granules of the chunk are offered
    /// (`granules_return`); a search or a report that misses them passes over the chunk.
    chunk_spans = Relaxed;

    /// `Chunk::arena`: the shard of a chunk.
    /// Written by: `arena::new_chunk`, `arena::retire`.
    /// Read by: `arena::has_spans`, `arena::shard_of`.
    /// Relaxed: it is written before the granules of the chunk are offered (`granules_return`), and
    /// after all of them were claimed.
    chunk_arena = Relaxed;

    /// `Chunk::runs`: the place for the record of a chunk's page runs.
    /// Written by: `chunk_metadata::ensure_runs`.
    /// Read by: `chunk_metadata::ensure_runs`, `chunk_metadata::purge`, `page_map::was_used`,
    /// `page_runs::record_in`, `page_runs::record_of`.
    /// Relaxed: it is written once, by whoever has the chunk, and read under the lock of the
    /// arena's runs, or through a block; a report asks only whether there is one.
    chunk_runs = Relaxed;

    /// `PageRuns::id`.
    /// Written by: `page_runs::set_id`.
    /// Read by: `page_runs::add`, `page_runs::has`.
    /// Relaxed: it is written once, before other threads know of the arena.
    runs_id = Relaxed;

    /// The length of a page run, at its first unit.
    /// Written by: `page_runs::set_len`.
    /// Read by: `page_runs::len`.
    /// Relaxed: it is changed under the lock of the arena's runs, and read there or through the
    /// block.
    run_len = Relaxed;

    /// `Chunk::huge_bytes`, `Chunk::huge_mapped`, `Chunk::huge_chunks`: the huge block that starts
    /// at a chunk.
    /// Written by: `freed_huge::resize`, `huge_block::settle`.
    /// Read by: `freed_huge::extent`, `huge_block::bytes_of`, `page_map::was_used`.
    /// Relaxed: they are read through the block, or by the thread that purges its tail, which sees
    /// them by `tail_begin_purge`; a report and the search for dense chunks take them for a guess.
    chunk_huge = Relaxed;

    // Tails of huge blocks.

    /// Sets the tail of a huge block. Publishes the extent of the block.
    /// Pairs with: `tail_begin_purge`.
    tail_set = Release;

    /// Takes the bytes of a tail, to resize the block. Sees that no purge uses its extent any
    /// more.
    /// Pairs with: `tail_end_purge`.
    tail_take = Acquire;

    /// Frees a block with a tail. Sees that no purge is under way in its chunks; or publishes,
    /// to the thread that purges, that nobody uses the block any more.
    /// Pairs with: `tail_end_purge`, `tail_freed`.
    tail_free = AcqRel;

    /// Begins to purge a tail. Sees the extent of the block.
    /// Pairs with: `tail_set`.
    tail_begin_purge = Acquire;

    /// Ends the purge of a tail. Publishes that it is over.
    /// Pairs with: `tail_free`, `tail_take`.
    tail_end_purge = Release;

    /// Finds that a block was freed while its tail was purged. Sees all that was done with it.
    /// Pairs with: `tail_free`.
    tail_freed = Acquire;

    /// The word of a tail, for a guess, and when the thread that purged it frees the block.
    /// Written by: `tail::after_fork`, `tail::end_purge`.
    /// Read by: `tail::begin_purge`, `tail::end_purge`, `tail::free`, `tail::of_freed`,
    /// `tail::peek`, `tail::take`.
    /// Other end: `tail_set`, `tail_take`, `tail_free`, `tail_begin_purge`, `tail_end_purge`.
    /// Relaxed: an exchange decides afterwards; and a freed block is handed on under the lock of
    /// the address space, or on standby.
    tail_peek = Relaxed;

    // The huge block on standby.

    /// Puts a freed huge block on standby. Publishes that nobody uses it any more; sees the same
    /// of the block that was on standby.
    /// Pairs with: `standby_take`, `standby_put`.
    standby_put = AcqRel;

    /// Takes the block on standby. Sees that nobody uses it any more, and its extent.
    /// Pairs with: `standby_put`.
    standby_take = Acquire;

    /// The word of the standby, for a guess.
    /// Written by: `standby::forget`.
    /// Read by: `standby::peek`, `standby::take`.
    /// Other end: `standby_put`, `standby_take`.
    /// Relaxed: an exchange decides afterwards; counts may be out of date.
    standby_peek = Relaxed;

    // Pages.

    /// `Chunk::clean_tail`: bytes at the end of a spare chunk that hold no memory.
    /// Written by: `address_space::set_clean_tail`.
    /// Read by: `address_space::memory_in`, `address_space::set_clean_tail`.
    /// Relaxed: it is changed by the thread that has the chunk, and chunks change hands under
    /// the lock of the address space; a report takes it for a guess.
    chunk_clean = Relaxed;

    /// Whether a chunk is in a huge page of the system.
    /// Written by: `thp::while_advised`, `thp::left_huge_page`.
    /// Read by: `thp::is_in_huge_page`.
    /// Relaxed: a hint, by which nobody finds memory.
    chunk_huge_page = Relaxed;

    /// Whether the addresses of the process are limited, and how often that was asked.
    /// Written by: `address_space::are_limited`.
    /// Read by: `address_space::are_limited`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    address_limits = Relaxed;

    /// Bytes of metadata in use.
    /// Written by: `metadata::alloc`, `metadata::free`.
    /// Read by: `metadata::alloc`, `metadata::free`, `metadata::used`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    metadata_used = Relaxed;

    /// Bytes of metadata segments, which size the next one.
    /// Written by: `metadata::grow_by`, `metadata::new_segment`.
    /// Read by: `metadata::grow`, `metadata::grow_by`, `metadata::new_segment`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    metadata_mapped = Relaxed;

    /// Bytes mapped for blocks.
    /// Written by: `address_space::count_accessible`, `address_space::fill`, `address_space::keep`,
    /// `address_space::purge_stretch`, `address_space::resized`.
    /// Read by: `address_space::count_accessible`, `address_space::fill`, `address_space::keep`,
    /// `address_space::mapped`, `address_space::purge_stretch`, `address_space::resized`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    mapped_bytes = Relaxed;

    /// How many mappings a process may have.
    /// Written by: `address_space::read_mapping_limit`.
    /// Read by: `address_space::are_many`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    mapping_limit = Relaxed;

    /// The option `thp`.
    /// Written by: `thp::choose`.
    /// Read by: `thp::chosen`.
    /// Relaxed: it holds from the next mapping on.
    thp_config = Relaxed;

    /// The system's mode of huge pages, once it was read.
    /// Written by: `thp::mode`.
    /// Read by: `thp::mode`.
    /// Relaxed: threads that read it at the same time find the same.
    thp_mode = Relaxed;

    /// Committed bytes, which a charge reads and raises in one step.
    /// Written by: `committed::charge`, `committed::charge_surely`, `committed::set`.
    /// Read by: `committed::bytes`, `committed::charge`, `committed::charge_surely`.
    /// Other end: `committed_told`, `committed_discharge`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    committed_bytes = Relaxed;

    /// `Counter::count` of `counters`: what happened since the start.
    /// Written by: `counters::add`, `counters::raise`.
    /// Read by: `counters::add`, `counters::get`, `counters::raise`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    counter = Relaxed;

    /// The soft and the hard limit.
    /// Written by: `committed::set_hard_limit`, `committed::set_limit`.
    /// Read by: `committed::charge`, `committed::check_over`, `committed::hard_limit`,
    /// `committed::limit`, `committed::rearm`.
    /// Relaxed: a limit holds for the charges that follow.
    committed_limits = Relaxed;

    /// Whether a charge went above the soft limit since the last check, for a guess.
    /// Read by: `committed::may_be_over`.
    /// Other end: `over_set`, `over_check`.
    /// Relaxed: `committed::check_over` decides.
    over_peek = Relaxed;

    /// Whether the program was told of the soft limit.
    /// Written by: `committed::mark_told`, `committed::rearm`, `committed::set_limit`.
    /// Read by: `committed::is_told`, `committed::mark_told`.
    /// Relaxed: one thread at a time tells it, under a flag; setting it twice tells once more.
    limit_told = Relaxed;

    /// How much memory there was in the container at the last look.
    /// Written by: `cgroup::set_supply`.
    /// Read by: `cgroup::is_scarce`, `cgroup::is_short`, `cgroup::now`, `cgroup::set_supply`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    memory_supply = Relaxed;

    /// The container's memory limit at the start.
    /// Written by: `cgroup::read_limit`.
    /// Read by: `cgroup::limit`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    cgroup_limit = Relaxed;

    /// What the last look at the container found, in percent.
    /// Written by: `cgroup::update`.
    /// Read by: `cgroup::reading`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    cgroup_reading = Relaxed;

    /// Files of the control group that do not exist.
    /// Written by: `cgroup::ask`.
    /// Read by: `cgroup::ask`, `cgroup::measure`.
    /// Relaxed: a thread that misses a bit looks for the file once more.
    cgroup_absent = Relaxed;

    /// `Usage::spans`: bytes in use.
    /// Written by: `usage::gave_span`, `usage::set`, `usage::took_span`.
    /// Read by: `usage::gave_span`, `usage::is_large_and_filled`, `usage::large`, `usage::loose`,
    /// `usage::took_span`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    usage_live = Relaxed;

    /// `Usage::dirty` and `Usage::low`: free bytes that may hold memory, now and at the least.
    /// Written by: `usage::less_dirty`, `usage::more_dirty`, `usage::set`,
    /// `usage::take_low_water`.
    /// Read by: `usage::counted_dirty`, `usage::less_dirty`, `usage::more_dirty`,
    /// `usage::take_low_water`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    usage_dirty = Relaxed;

    /// `Usage::purged`: bytes purged since the start.
    /// Written by: `usage::cleaned`, `usage::made_holes`.
    /// Read by: `usage::cleaned`, `usage::made_holes`, `usage::purged`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    usage_purged = Relaxed;

    /// `Usage::out`, `Usage::holes` and `Usage::stuck`: free memory within spans in use.
    /// Written by: `usage::came_back`, `usage::filled`, `usage::gave_span`, `usage::made_holes`,
    /// `usage::search_again`, `usage::searched`, `usage::set`, `usage::went_out`.
    /// Read by: `usage::came_back`, `usage::filled`, `usage::gave_span`, `usage::loose`,
    /// `usage::made_holes`, `usage::unsearched`, `usage::went_out`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    usage_loose = Relaxed;

    /// `Usage::lent`: bytes lent to the budgets of threads.
    /// Written by: `usage::lend`, `usage::repay`, `usage::set_lent`.
    /// Read by: `usage::lend`, `usage::lent`, `usage::repay`.
    /// Relaxed: a loan is counted in one step and taken back if it was too much.
    usage_lent = Relaxed;

    /// Whether there seems to be too much free memory, and whether growth is to be looked at.
    /// Written by: `usage::note_excess`, `usage::recheck_excess`, `usage::set_excess`,
    /// `usage::want_look`.
    /// Read by: `usage::in_excess`, `usage::is_look_wanted`.
    /// Relaxed: whoever sees it computes the excess from the numbers.
    usage_excess = Relaxed;

    /// Free bytes left by the last purge and the last search of a thread without a helper, and how
    /// many searches in a row were of no use.
    /// Written by: `usage::is_search_due`, `usage::is_too_much`, `usage::purged_alone`,
    /// `usage::searched_alone`.
    /// Read by: `usage::is_search_due`, `usage::is_too_much`, `usage::searched_alone`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    usage_left = Relaxed;

    /// Bytes that threads that allocate are to purge.
    /// Written by: `usage::took_fresh`, `usage::take_owed`.
    /// Read by: `usage::took_fresh`, `usage::is_owed`, `usage::take_owed`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    usage_owed = Relaxed;

    /// The heap size at which dense chunks are looked for next, and whether it was reached.
    /// Written by: `usage::grew_to`, `usage::take_grew`.
    /// Read by: `usage::grew_to`, `usage::take_grew`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    collapse_due = Relaxed;

    /// The heap size at which the container is looked at next.
    /// Written by: `usage::look_from`, `usage::shrank_to`.
    /// Read by: `usage::grew_to`, `usage::shrank_to`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    cgroup_due = Relaxed;

    /// A word of the index, looked at once more after its bit in the top was cleared, and that bit
    /// set again.
    /// Written by: `free_space_index::clear_top`.
    /// Read by: `free_space_index::clear_top`.
    /// Other end: `index_mark`, `index_clear`, `index_read`.
    /// Relaxed: whoever sets the first bit of a word sets its bit in the top afterwards, and
    /// publishes what it stands for; this one comes before that, or hands it on.
    index_again = Relaxed;

    /// The index in the child of a fork.
    /// Written by: `free_space_index::mark_surely`.
    /// Read by: `free_space_index::mark_surely`.
    /// Other end: `index_mark`, `index_clear`, `index_read`.
    /// Relaxed: the child of a fork has one thread.
    index_in_child = Relaxed;

    /// Where the words of a free-space index are.
    /// Written by: `free_space_index::init_tables`.
    /// Read by: `free_space_index::top`, `free_space_index::word`.
    /// Relaxed: they are written once, before the shard is published (`published_set`).
    index_place = Relaxed;

    /// Maximum number of shards that threads are assigned to.
    /// Written by: `arena::fit_container`.
    /// Read by: `arena::nearest`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    shards_wanted = Relaxed;

    /// The ranks of CPUs, and how many have one.
    /// Written by: `arena::rank`.
    /// Read by: `arena::rank`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    cpu_rank = Relaxed;

    /// The option `huge_guards`.
    /// Written by: `huge_block::guard_from_now_on`.
    /// Read by: `huge_block::is_guarded`.
    /// Relaxed: it holds from the next huge block on.
    huge_guards = Relaxed;

    /// The tag of a block in hardened mode.
    /// Written by: `tag::set`, `tag::clear`.
    /// Read by: `tag::state`, `tag::clear`.
    /// Relaxed: who frees a block got it from the thread that made it; of a neighbour, any value is
    /// a tag.
    block_tag = Relaxed;

    /// Huge blocks that are held back.
    /// Written by: `held_back::put`, `held_back::free_all`, `held_back::let_go`.
    /// Read by: `held_back::put`, `held_back::has`, `held_back::free_all`, `held_back::held`,
    /// `held_back::let_go`.
    /// Relaxed: whoever takes one by a swap only frees it, under its own locks.
    held_back = Relaxed;

    /// Number of blocks in a stock.
    /// Written by: `stock::with_lock`, `stock::after_fork`.
    /// Read by: `stock::cached`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    stock_count = Relaxed;

    /// Which blocks of no bytes are in use, where they are, and where the next one is looked for.
    /// Written by: `empty_blocks::get`, `empty_blocks::reserve`, `empty_blocks::put`.
    /// Read by: `empty_blocks::get`, `empty_blocks::base`, `empty_blocks::reserve`,
    /// `empty_blocks::has`, `empty_blocks::put`, `empty_blocks::check`, `empty_blocks::place`,
    /// `empty_blocks::release`.
    /// Relaxed: an exchange of the word decides, and there is no other data.
    empty_blocks = Relaxed;

    /// Huge blocks in use, and their bytes.
    /// Written by: `freed_huge::count`, `freed_huge::free_chunks`, `freed_huge::resize`,
    /// `freed_huge::set_held`.
    /// Read by: `freed_huge::count`, `freed_huge::free_chunks`, `freed_huge::held`,
    /// `freed_huge::resize`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    huge_count = Relaxed;

    // Reclaim, remote and threads.

    /// The chunk at which the next purge goes on.
    /// Written by: `purge::purge_locked`.
    /// Read by: `purge::purge_locked`.
    /// Relaxed: one thread purges at a time, under a flag taken with `lock_acquire`.
    purge_cursor = Relaxed;

    /// The dirty bytes that the last purge in vain left, and the calls that found as many.
    /// Written by: `purge::is_in_vain`, `purge::purge_for_room`.
    /// Read by: `purge::is_in_vain`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    purge_in_vain = Relaxed;

    /// A function of the program's, or of a higher layer.
    /// Written by: `callback::set`.
    /// Read by: `callback::get`.
    /// Relaxed: it is code, which is always there.
    callback = Relaxed;

    /// Whether a failure was reported.
    /// Written by: `failure::report`.
    /// Read by: `failure::report`.
    /// Relaxed: it is swapped in one step, and no other data is read on its word.
    failure_reported = Relaxed;

    /// How much memory there is, as far as the program was told.
    /// Written by: `pressure::call`, `pressure::tell`.
    /// Read by: `pressure::is_news`.
    /// Relaxed: one thread at a time tells it, under a lock, and compares the numbers there.
    pressure_told = Relaxed;

    /// Searches for a span in other arenas.
    /// Written by: `span_source::find_span`.
    /// Read by: `span_source::find_span`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    shard_cursor = Relaxed;

    /// The thread that the next search for a span to steal begins with.
    /// Written by: `span_source::steal`.
    /// Read by: `span_source::steal`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    steal_cursor = Relaxed;

    /// `Bin::top`. One thread writes it; others count blocks.
    /// Written by: `bin::move_top`, `bin::set_len`.
    /// Read by: `bin::is_newest`, `bin::len`, `bin::move_top`, `bin::pop`, `bin::push`,
    /// `bin::push_another`, `bin::unused`.
    /// Relaxed: its thread reads its own writes, and others want the number alone.
    bin_top = Relaxed;

    /// `Bin::base`. One thread writes it; others count blocks.
    /// Written by: `bin::set_array`, `bin::unset_array`.
    /// Read by: `bin::array`, `bin::capacity`, `bin::first`, `bin::len`.
    /// Relaxed: its thread reads its own writes, and others want the number alone.
    bin_base = Relaxed;

    /// Requests of a class that were sampled, and the bytes that they left unused, in one word.
    /// Written by: `internal_fragmentation::add`.
    /// Read by: `internal_fragmentation::get`.
    /// Relaxed: two threads of a shard may lose a sample; the halves of a word always belong
    /// together.
    request_sample = Relaxed;

    /// `Record::rounds`: exit hooks that ran for the thread. One thread writes and reads it.
    /// Written by: `registry::begin`, `registry::thread_ends`.
    /// Read by: `registry::thread_ends`.
    /// Relaxed: it is the thread's own.
    exit_rounds = Relaxed;

    /// Threads in the exit hook.
    /// Written by: `registry::ended`, `registry::forget_hooks`.
    /// Read by: `registry::ended`, `registry::wait_for_hooks`.
    /// Relaxed: whoever found none sees what they did by `lock_acquire`, on the lock that each had
    /// at its end.
    exit_hooks = Relaxed;

    /// Whether there may be caches of threads that vanished in a fork, in any state.
    /// Written by: `registry::after_fork`, `registry::keep_vanished`.
    /// Read by: `registry::can_end_lost`, `registry::end_all`.
    /// Relaxed: it is written while the process has one thread.
    forked = Relaxed;

    /// Slow paths that threads without a cache are in.
    /// Written by: `inside::drop`, `inside::enter`, `inside::outside`, `inside::take_vanished`.
    /// Read by: `inside::drop`, `inside::enter`, `inside::is_this_thread`, `inside::outside`,
    /// `inside::take_vanished`.
    /// Relaxed: it is wanted in the child of a fork, which finds the stores of each thread in their
    /// order.
    slow_paths = Relaxed;

    /// Blocks returned by threads without a cache.
    /// Written by: `registry::return_block`.
    /// Read by: `registry::return_block`, `registry::returned`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    returned_blocks = Relaxed;

    // Background and process.

    /// The chunk at which the next search for pages of spans in use begins, and how many before it
    /// had none.
    /// Written by: `span_purge::search`.
    /// Read by: `span_purge::search`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    span_purge_cursor = Relaxed;

    /// The chunk at which the search for dense chunks goes on.
    /// Written by: `huge_page_collapse::begin`, `huge_page_collapse::step`.
    /// Read by: `huge_page_collapse::is_busy`, `huge_page_collapse::step`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    collapse_cursor = Relaxed;

    /// What was purged on the program's time and needed again, and the time that this takes.
    /// Written by: `own_time::affordable`, `own_time::begin`, `own_time::purge`,
    /// `own_time::purge_low_water`, `own_time::purge_owed`, `own_time::spend`.
    /// Read by: `own_time::affordable`, `own_time::purge`, `own_time::purge_low_water`,
    /// `own_time::purge_owed`, `own_time::spend`.
    /// Relaxed: with one thread they are its own; others may purge a little earlier or later.
    own_time = Relaxed;

    /// When a purge on the program's time, or a chunk that is examined for a huge page, is due.
    /// Written by: `own_time::examine_chunk`, `own_time::give_back`, `own_time::waits`.
    /// Read by: `own_time::examine_chunk`, `own_time::waits`.
    /// Relaxed: with one thread they are its own; others may look a little earlier or later.
    own_wait = Relaxed;

    /// Whether a helper may be started, and whether one gives free memory back.
    /// Written by: `helped::after_fork`, `helped::allow`, `helped::set_helped`.
    /// Read by: `helped::is_allowed`, `helped::is_helped`.
    /// Relaxed: it holds for the next start, and for the next look at the bound.
    helper_config = Relaxed;

    /// Threads that have a cache.
    /// Written by: `helped::after_fork`, `helped::thread_began`, `helped::thread_ended`.
    /// Read by: `helped::caches`, `helped::thread_began`, `helped::thread_ended`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    threads_with_cache = Relaxed;

    /// The word that the helper sleeps on.
    /// Written by: `helped::ring`.
    /// Read by: `helped::bell`, `helped::ring`.
    /// Relaxed: whoever wakes looks at everything again.
    helper_bell = Relaxed;

    /// Whether the helper must end for good.
    /// Written by: `helper::stop`.
    /// Read by: `helper::is_alone`, `helper::leave`, `helper::try_end`.
    /// Relaxed: whoever sets it waits until the task is gone.
    helper_stop = Relaxed;

    /// Whether there is a helper.
    /// Written by: `helper_state::begin_leaving`, `helper_state::change`, `helper_state::end`,
    /// `helper_state::stay`.
    /// Read by: `helper_state::begin_leaving`, `helper_state::change`, `helper_state::end`,
    /// `helper_state::is_running`, `helper_state::stay`.
    /// Relaxed: the compare-and-swap admits one; the new task starts after all that its starter
    /// did.
    helper_state = Relaxed;

    /// Whether the process exits, or the library is being unloaded.
    /// Written by: `unload::pass`, `unload::watch`.
    /// Read by: `unload::end`, `unload::pass`.
    /// Relaxed: the loader runs one finalizer after the other.
    unload_state = Relaxed;

    /// Whether the options were read.
    /// Written by: `options::read`.
    /// Read by: `options::are_read`, `options::read`.
    /// Relaxed: the swap admits one reader.
    options_read = Relaxed;

    /// The options `help`, `verbose` and `signal`.
    /// Written by: `options::KEYS`.
    /// Read by: `options::KEYS`, `options::apply`, `options::is_verbose`, `options::signal`.
    /// Relaxed: it is read by the thread that parsed the options, or when the process ends.
    print_help = Relaxed;

    /// The bytes of the name of a file.
    /// Written by: `named_file::set`.
    /// Read by: `named_file::name`.
    /// Relaxed: its length is published after it, and it is changed only while the options are
    /// applied.
    file_name = Relaxed;

    /// Whether the handlers of signals were set.
    /// Written by: `handlers::install`.
    /// Read by: `handlers::install`.
    /// Relaxed: the swap admits one.
    handlers_set = Relaxed;

    /// Handlers of signals that report, now.
    /// Written by: `handlers::after_fork`, `handlers::on_request`.
    /// Read by: `handlers::on_request`, `handlers::remove`.
    /// Relaxed: who unloads the code removed the handlers by a system call before.
    handlers_running = Relaxed;

    /// Bytes of reports that standard error did not take.
    /// Written by: `lines::drop`, `lines::new`.
    /// Read by: `lines::drop`, `lines::new`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    report_lost = Relaxed;

    /// The option `system`.
    /// Written by: `options::KEYS`.
    /// Read by: `options::is_hardened`, `options::system_serves`.
    /// Relaxed: it is read by the thread that parsed the options.
    system_serves = Relaxed;

    /// The options `stats` and `explain`.
    /// Written by: `options::KEYS`.
    /// Read by: `options::explain_at_exit`, `options::stats_at_exit`.
    /// Relaxed: they hold for the end of the process, and no other data is read on their word.
    print_at_exit = Relaxed;

    // The heap profile.

    /// `RATES` of `profile/rate`: bytes between two samples.
    /// Written by: `rate::set`.
    /// Read by: `rate::get`.
    /// Relaxed: a thread that reads an older value samples a little longer, or begins a little
    /// later; it is led to a slow path, where it looks again.
    profile_rate = Relaxed;

    /// `Countdown::gap`, and of each `Point` where it is, and by what rate.
    /// Written by: `countdown::draw`, `countdown::is_due`, `countdown::set`.
    /// Read by: `countdown::draw_again`, `countdown::is_due`, `countdown::take`.
    /// Relaxed: it is its thread's own; of threads without a cache, some bytes may be lost.
    profile_gap = Relaxed;

    /// `Countdown::random`: the state of random numbers.
    /// Written by: `countdown::draw`.
    /// Read by: `countdown::draw`.
    /// Relaxed: it is its thread's own; threads without a cache may get the same number.
    profile_random = Relaxed;

    /// `Live::count`: sampled blocks in use.
    /// Written by: `live::insert`, `live::remove`.
    /// Read by: `live::insert`, `live::is_empty`, `live::is_nearly_full`, `live::remove`.
    /// Relaxed: who frees a sampled block got it, through what handed it over, after it was
    /// counted, and coherence forbids an older value.
    profile_live = Relaxed;

    /// `Bucket::blocks`: the address of a sampled block.
    /// Written by: `live::insert`.
    /// Read by: `live::remove`, `live::taken`.
    /// Other end: `profile_slot_claim`, `profile_slot_free`.
    /// Relaxed: who frees the block got it, through what handed it over, after it was entered.
    profile_slot_set = Relaxed;

    /// `Count` of a stack or a label, in blocks and bytes; `Interned::count`: the number of stacks or
    /// labels, raised under the lock.
    /// Written by: `amounts::add`, `amounts::subtract`, `interned::publish`.
    /// Read by: `amounts::add`, `amounts::get`, `amounts::subtract`, `interned::find`,
    /// `interned::publish`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    profile_counts = Relaxed;

    /// Of guarded blocks, in `guarded/slots` `AT`, `COUNT`, `FREED` and `BEGUN`: where the slots are,
    /// and how many; in `guarded/faults` `INSTALLED`.
    /// Written by: `faults::remove`, `faults::set`, `slots::after_fork`, `slots::make`, `slots::put`,
    /// `slots::try_make`.
    /// Read by: `faults::install`, `faults::remove`, `slots::count`, `slots::end_of`, `slots::extent`,
    /// `slots::make`, `slots::place_of`, `slots::put`.
    /// Relaxed: who takes a slot reads them under the lock under which they were written, and who has
    /// a block got it after that; `FREED` only orders.
    guarded_slots = Relaxed;

    /// `TRIED` of `guarded/faults`: which thread tried which access again last.
    /// Written by: `faults::on_fault`.
    /// Read by: `faults::on_fault`.
    /// Relaxed: a thread looks for what it wrote itself; no other data is read on the word.
    fault_tried = Relaxed;

    /// `STATES` of `guarded/slots`: whether a slot is free, and since when.
    /// Written by: `slots::free`, `slots::put`, `slots::set_used`, `slots::take`.
    /// Read by: `slots::free`, `slots::state`, `slots::take`.
    /// Relaxed: a free slot is taken, and put back, under the lock; who frees a block got it, through
    /// what handed it over, after it was set.
    guarded_state = Relaxed;

    /// The words of a `Record` and a `Trace` of `guarded/record`.
    /// Written by: `record::begin`, `record::forget`, `record::write`.
    /// Read by: `record::block`, `record::bytes`, `record::frames`, `record::size`, `record::thread`.
    /// Relaxed: who has the slot has them alone; what a report reads meanwhile may be of two blocks.
    guarded_record = Relaxed;

    /// `DROPPED` of `profile/record`: samples without room.
    /// Written by: `record::count_dropped`.
    /// Read by: `record::count_dropped`, `record::dropped`.
    /// Relaxed: the number alone is wanted, and no other data is read on its word.
    profile_dropped = Relaxed;
}

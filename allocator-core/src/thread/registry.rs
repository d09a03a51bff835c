//! The registry of threads: creates the cache of a new thread, ends it with the thread,
//! and reuses its record. Also the paths of threads without a cache.
//!
//! A few caches of threads that ended are spare: the next thread begins with what is in them.
//!
//! ```text
//!          take_record             leave_cache: there are few
//!  free ────────────────► used ─────────────────────────────────► spare
//!   ▲                      │ ▲         take_record                 │ │
//!   │   leave_cache: else  │ └─────────────────────────────────────┘ │
//!   ├──────────────────────┘                                         │
//!   └────────────────────────────────────────────────────────────────┘
//!                      end_spares: nobody began with it
//! ```

use core::ffi::c_void;
use core::iter;
use core::mem::offset_of;
use core::ptr::{self, NonNull};

use crate::base::directory::{self, Address};
use crate::base::geometry::{CACHE_BYTES, HEAP_IDS, UNIT};
use crate::base::lock::Lock;
use crate::base::nested;
use crate::base::ordering;
use crate::base::published::Published;
use crate::base::size_class::{self, CLASSES};
use crate::base::sync::{self, AtomicBool, AtomicU8, AtomicU32, Guarded};
use crate::heaps::heap::Heap;
use crate::heaps::heap_table;
use crate::pages::arena;
use crate::pages::counters::COUNTERS;
use crate::pages::helped;
use crate::pages::interrupted;
use crate::pages::metadata;
use crate::pages::page_runs;
use crate::pages::usage;
use crate::reclaim::callback::Callback;
use crate::remote::send;
use crate::remote::span_source;
use crate::sys;
use crate::thread::bin::Slot;
use crate::thread::cache::{Cache, ENDED};
use crate::thread::current;
pub(crate) use crate::thread::current::current;
use crate::thread::flush_all;
use crate::thread::inside;
use crate::thread::slow_path::SlowPath;
use crate::thread::tls;

/// The thread-exit hook ends the cache in this round, the last but one.
const ROUNDS: u8 = 3;

/// What remains of a thread when it ends, for the next one: a heap, and a place for a
/// cache. Never freed.
#[repr(C, align(64))]
struct Record {
    heap: Heap,
    /// The cache, while a thread has it.
    cache: Published<Cache>,
    /// Place of the cache.
    place: NonNull<Cache>,
    /// The next record on the same list \[RECORDS-LOCKED\].
    next: Guarded<*mut Record>,
    /// The thread that has the record, or had it last \[RECORDS-LOCKED\].
    thread: Guarded<Thread>,
    /// Whether the cache was constructed in its place \[RECORDS-LOCKED\], except while a
    /// thread has the record.
    made: Guarded<bool>,
    /// Whether the helper has seen it among the spare ones \[RECORDS-LOCKED\].
    seen: Guarded<bool>,
    /// Rounds of the exit hook for this thread so far.
    rounds: AtomicU8,
}

/// A thread, among the living ones: one that starts after another has ended may be equal to
/// it, where the C library gives it the same stack.
#[derive(Clone, Copy, PartialEq)]
struct Thread {
    token: u32,
    /// Where its word is. Tokens are shorter, and far threads may share one.
    word: usize,
}

impl Thread {
    fn calling() -> Self {
        Thread { token: sync::thread_token(), word: tls::place() }
    }
}

/// Lists of records in use.
const LISTS: usize = 256;

/// Most spare caches.
#[cfg(not(strata_loom))]
const SPARES: usize = 8;
/// Small, for the models.
#[cfg(strata_loom)]
const SPARES: usize = 1;

const _: () = assert!(size_of::<Record>() <= 1088);
const _: () = assert!(size_of::<Cache>() < CACHE_BYTES);

/// Called at the end of each thread that had a cache, when that has ended: the last thread to free
/// memory may be one that ends.
static ENDED_HERE: Callback<fn()> = Callback::new();

/// Sets what is called at the end of each thread.
pub(crate) fn at_end(ended: fn()) {
    ENDED_HERE.set(ended);
}

/// Threads that are in the exit hook.
static HOOKS: AtomicU32 = AtomicU32::new(0);

/// Whether there may be caches of threads that vanished in a fork, in any state.
static FORKED: AtomicBool = AtomicBool::new(false);

struct Records {
    lock: Lock,
    /// Records without a thread \[RECORDS-LOCKED\].
    free: Guarded<*mut Record>,
    /// Those whose cache did not end with its thread \[RECORDS-LOCKED\].
    spare: Guarded<*mut Record>,
    /// Records in use, each on the list of its thread's token \[RECORDS-LOCKED\].
    used: [Guarded<*mut Record>; LISTS],
    /// In the child of a fork, the records of threads that vanished \[RECORDS-LOCKED\].
    vanished: Guarded<Vanished>,
}

/// Ids of heaps whose threads vanished in a fork, and were not seen since.
struct Vanished {
    next: u32,
    end: u32,
    /// The thread that forked has this one.
    own: u32,
}

// SAFETY: [RECORDS-LOCKED] the list is touched only under the lock.
unsafe impl Sync for Records {}

static RECORDS: Records = Records {
    lock: Lock::new(),
    free: Guarded::new(ptr::null_mut()),
    spare: Guarded::new(ptr::null_mut()),
    used: [const { Guarded::new(ptr::null_mut()) }; LISTS],
    vanished: Guarded::new(Vanished { next: 0, end: 0, own: 0 }),
};

/// The caller of each function holds the lock. The child of a fork may find any prefix of the
/// stores done.
impl Records {
    /// Takes the first record of a list.
    fn take_first(list: &Guarded<*mut Record>) -> Option<&'static Record> {
        list.with(|first| {
            // SAFETY: [RECORDS-LOCKED] by the caller; [HEAPS-STAY] for the record.
            unsafe {
                let record = (*first).as_ref()?;
                *first = record.next.with(|next| *next);
                sync::in_order();
                Some(record)
            }
        })
    }

    /// The records of a list.
    fn list(list: &Guarded<*mut Record>) -> impl Iterator<Item = &'static Record> {
        // SAFETY: [RECORDS-LOCKED] by the caller; [HEAPS-STAY] for the records, here and below.
        let first: Option<&'static Record> = unsafe { list.with(|first| (*first).as_ref()) };
        // SAFETY: as above.
        iter::successors(first, |record| unsafe { record.next.with(|next| (*next).as_ref()) })
    }

    /// Puts a record that is on no list on that of the spare ones.
    fn put_spare(&self, record: &'static Record) {
        // SAFETY: [RECORDS-LOCKED] by the caller.
        record.seen.with(|seen| unsafe { *seen = false });
        // SAFETY: likewise.
        self.spare.with(|spare| unsafe { record.put_on(spare) });
    }

    /// Takes the spare records that were seen already off the list, and sees the others.
    fn take_seen(&self) -> *mut Record {
        let mut link = &self.spare;
        for record in Self::list(&self.spare) {
            // SAFETY: [RECORDS-LOCKED] by the caller.
            if record.seen.with(|seen| unsafe { seen.replace(true) }) {
                break;
            }
            link = &record.next;
        }
        // The newest is the first: behind one that was seen, all were.
        // SAFETY: [RECORDS-LOCKED] by the caller.
        link.with(|link| unsafe { link.replace(ptr::null_mut()) })
    }

    /// Puts a record that is on no list on that of the free ones.
    fn put_free(&self, record: &'static Record) {
        // SAFETY: [RECORDS-LOCKED] by the caller.
        self.free.with(|free| unsafe { record.put_on(free) });
    }

    /// The list of the records in use where a thread's is.
    fn used_by(&self, thread: Thread) -> &Guarded<*mut Record> {
        &self.used[thread.token as usize % LISTS]
    }

    /// Puts a record that is on no list on that of this thread, which has it now.
    fn put_used(&self, record: &'static Record, thread: Thread) {
        // SAFETY: [RECORDS-LOCKED] by the caller.
        record.thread.with(|its| unsafe { *its = thread });
        // SAFETY: likewise.
        self.used_by(thread).with(|list| unsafe { record.put_on(list) });
    }

    /// Takes the record that this thread has off its list. A thread has one at most.
    fn take_used(&self, thread: Thread) -> Option<&'static Record> {
        let mut link = self.used_by(thread);
        loop {
            // SAFETY: [RECORDS-LOCKED] by the caller; [HEAPS-STAY] for the record.
            let record: &'static Record = unsafe { link.with(|link| (*link).as_ref()) }?;
            // SAFETY: [RECORDS-LOCKED] likewise.
            if record.thread.with(|its| unsafe { *its == thread }) {
                // SAFETY: [RECORDS-LOCKED] likewise.
                link.with(|link| record.next.with(|next| unsafe { *link = *next }));
                sync::in_order();
                return Some(record);
            }
            link = &record.next;
        }
    }

    /// The next record whose thread vanished.
    fn next_vanished(&self) -> Option<&'static Record> {
        self.vanished.with(|vanished| {
            // SAFETY: [RECORDS-LOCKED] by the caller.
            let vanished = unsafe { &mut *vanished };
            while vanished.next < vanished.end {
                let id = vanished.next;
                vanished.next += 1;
                if id != vanished.own
                    && let Some(record) = record(id)
                {
                    return Some(record);
                }
            }
            None
        })
    }
}

/// Records by id, for statistics and forks.
static TABLE: [Published<Record>; HEAP_IDS] = [const { Published::new() }; HEAP_IDS];

/// Where the records are, for readers outside of the process.
pub(crate) const fn places() -> directory::Records {
    directory::Records {
        table: Address::of(&raw const TABLE),
        first: heap_table::FIRST as usize,
        next: heap_table::place_of_next(),
        most: HEAP_IDS,
        heap: offset_of!(Record, heap),
        cache: offset_of!(Record, cache),
        returned: Address::of(&raw const RETURNED),
    }
}

fn record(id: u32) -> Option<&'static Record> {
    TABLE.get(id as usize)?.get()
}

fn records() -> impl Iterator<Item = &'static Record> {
    heap_table::thread_ids().filter_map(record)
}

/// The heaps of all threads that ever existed.
pub(crate) fn heaps() -> impl Iterator<Item = &'static Heap> {
    records().map(|record| &record.heap)
}

/// The threads that have a cache, each with its heap. A cache may end meanwhile, and its
/// memory may be purged; then it reads as anything, and its heap must not be asked of it.
pub(crate) fn threads() -> impl Iterator<Item = (&'static Heap, &'static Cache)> {
    records().filter_map(|record| Some((&record.heap, record.cache.get()?)))
}

/// The cache of the calling thread, which is in this slow path; creates it if the thread
/// never had one. `None`: it has ended, interrupted code has it or its heap, or there is no
/// memory or no id for it.
#[cold]
pub(crate) fn get_or_create(slow: &mut SlowPath) -> Option<&'static Cache> {
    if let Some(cache) = slow.cache() {
        return Some(cache);
    }
    if !slow.has_no_cache_yet() {
        return None;
    }
    let _inside = inside::enter();
    let record = take_record()?;
    let cache = record.begin();
    // A thread that had the same token may have left its own.
    nested::forget();
    // These may allocate; the thread has no cache yet.
    if sys::on_thread_exit(ended) && sys::arm_thread_exit(ptr::from_ref(record).cast_mut().cast()) {
        slow.set_cache(cache);
        cache.got();
        return Some(cache);
    }
    // No hook will run when the thread ends: what it kept would be lost.
    slow.set_cache(&ENDED);
    end_cache(record);
    None
}

impl Record {
    /// Puts the record on a list.
    ///
    /// # Safety
    /// \[RECORDS-LOCKED\]; it is on no list.
    unsafe fn put_on(&'static self, list: *mut *mut Record) {
        // SAFETY: [RECORDS-LOCKED] by the caller.
        unsafe {
            self.next.with(|next| *next = *list);
            sync::in_order();
            *list = ptr::from_ref(self).cast_mut();
        }
    }

    /// Whether the cache of a thread that ended without its hook may be ended. In a slow path,
    /// where a signal handler ended the thread, it may be in any state, and stays as it is.
    fn can_end_lost(&self) -> bool {
        // SAFETY: [OWNER-ONLY] the thread has ended.
        let whole = self.cache.get().is_some_and(|cache| !unsafe { cache.is_inside() });
        whole && !self.heap.is_held_here() && !FORKED.load(ordering::forked())
    }

    /// Ends the cache of a thread that ended without its hook, on its behalf. The calling
    /// thread got the same stack, and sees by that all that the other one did.
    fn end_lost(&self) {
        if let Some(cache) = self.cache.get() {
            // SAFETY: [OWNER-ONLY] the thread has ended.
            unsafe { cache.settle_lost() };
        }
        self.end_vanished();
        helped::thread_ended();
    }

    /// Ends the cache of a thread that vanished in a fork, on its behalf.
    fn end_vanished(&self) {
        match self.cache.get() {
            // SAFETY: [OWNER-ONLY] the thread vanished; [HEAPS-STAY] its cache did not.
            Some(cache) => unsafe { cache.end_vanished() },
            None => flush_all::abandon(&self.heap),
        }
        self.cache.withdraw();
        // The thread may have vanished while it made the cache.
        // SAFETY: [OWNER-ONLY] likewise.
        self.made.with(|made| unsafe { *made = false });
    }

    /// Starts the cache of the calling thread, which has the record.
    fn begin(&self) -> &'static Cache {
        let cache = self.made.with(|made| {
            // SAFETY: [OWNER-ONLY] the record is the thread's, and never freed.
            unsafe {
                if !made.replace(true) {
                    Cache::make(self.place, CACHE_BYTES, &*ptr::from_ref(&self.heap));
                }
                &*self.place.as_ptr()
            }
        });
        self.rounds.store(0, ordering::exit_rounds());
        cache.begin();
        if self.cache.get().is_none() {
            self.heap.reopen();
            self.cache.publish(cache);
        }
        helped::thread_began();
        cache
    }

    /// Ends the cache, which is nobody's: the thread that had it has left it.
    fn end_left(&self) {
        if let Some(cache) = self.cache.get() {
            // SAFETY: [OWNER-ONLY] by the caller, which has the record.
            unsafe { cache.end() };
        }
        // Late: in the child of a fork, the cache of a thread that vanished here is ended again.
        if sync::step("ended_is_withdrawn") {
            self.cache.withdraw();
        }
    }
}

/// A record for the calling thread. One that it seems to have already is that of a thread
/// which had the same stack, and ended without its hook. So as many of these are lost at a
/// time as there are stacks.
fn take_record() -> Option<&'static Record> {
    let thread = Thread::calling();
    let held = RECORDS.lock.lock()?;
    let lost = RECORDS.take_used(thread).filter(|record| record.can_end_lost());
    let others = [&RECORDS.spare, &RECORDS.free];
    let free = if lost.is_none() { others.into_iter().find_map(Records::take_first) } else { None };
    let taken = lost.or(free);
    let vanished = if taken.is_none() { RECORDS.next_vanished() } else { None };
    let taken = taken.or(vanished).inspect(|record| RECORDS.put_used(record, thread));
    drop(held);
    lost.inspect(|record| record.end_lost());
    vanished.inspect(|record| record.end_vanished());
    taken.or_else(|| new_record(thread))
}

fn new_record(thread: Thread) -> Option<&'static Record> {
    let memory = metadata::alloc(size_of::<Record>())?.cast::<Record>();
    let place = metadata::alloc(CACHE_BYTES).map(NonNull::cast::<Cache>);
    let id = place.and_then(|_| heap_table::allocate_id());
    let (Some(place), Some(id)) = (place, id) else {
        // SAFETY: just allocated, and not used.
        unsafe {
            metadata::free(memory.cast(), size_of::<Record>());
            place.inspect(|place| metadata::free(place.cast(), CACHE_BYTES));
        }
        return None;
    };
    // SAFETY: the slot is ours, large enough, and aligned to its size.
    let record = unsafe {
        memory.write(Record {
            heap: Heap::new(id),
            cache: Published::new(),
            place,
            made: Guarded::new(false),
            seen: Guarded::new(false),
            next: Guarded::new(ptr::null_mut()),
            thread: Guarded::new(thread),
            rounds: AtomicU8::new(0),
        });
        memory.as_ref()
    };
    heap_table::publish(&record.heap);
    TABLE[id as usize].publish(record);
    if let Some(_held) = RECORDS.lock.lock() {
        RECORDS.put_used(record, thread);
    }
    Some(record)
}

/// The thread-exit hook. Other hooks may allocate and free after it, so it runs again
/// until the last round but one; then the cache ends.
///
/// # Safety
/// `value` is what [`get_or_create`] armed the hook with.
unsafe extern "C" fn ended(value: *mut c_void) {
    HOOKS.fetch_add(1, ordering::exit_hooks());
    // SAFETY: records are never freed.
    let has_ended = thread_ends(unsafe { &*value.cast::<Record>() }, value);
    if has_ended && let Some(ended) = ENDED_HERE.get() {
        ended();
    }
    // A fork in this one has forgotten it.
    if HOOKS.load(ordering::exit_hooks()) != 0 {
        HOOKS.fetch_sub(1, ordering::exit_hooks());
    }
}

/// Returns whether the cache has ended.
fn thread_ends(record: &'static Record, value: *mut c_void) -> bool {
    let rounds = record.rounds.load(ordering::exit_rounds()) + 1;
    record.rounds.store(rounds, ordering::exit_rounds());
    if rounds < ROUNDS && sys::arm_thread_exit(value) {
        return false;
    }
    let mut slow = SlowPath::enter();
    let interrupted = slow.is_nested();
    slow.set_cache(&ENDED);
    // A thread that ends in a signal handler, or left one by a jump, never ended the slow
    // path that the handler interrupted. What that was changing is lost.
    if !interrupted {
        leave_cache(record);
    }
    slow.leave();
    nested::forget();
    !interrupted
}

/// Makes the cache of the calling thread, which gets no other, a spare one, or ends it.
fn leave_cache(record: &'static Record) {
    let _inside = inside::enter();
    if !become_spare(record) {
        end_cache(record);
    }
}

/// Makes the cache of the calling thread a spare one, unless there are enough, or it has many spans.
/// Then it may be another thread's.
fn become_spare(record: &'static Record) -> bool {
    let Some(cache) = record.cache.get() else { return false };
    // SAFETY: [OWNER-ONLY] this is the cache's thread, which has left it.
    if !unsafe { cache.rest() } {
        return false;
    }
    let Some(_held) = RECORDS.lock.lock() else { return false };
    if Records::list(&RECORDS.spare).count() == SPARES {
        return false;
    }
    // SAFETY: [RECORDS-LOCKED]
    RECORDS.take_used(record.thread.with(|thread| unsafe { *thread }));
    // Before another thread begins with it, and counts.
    helped::thread_ended();
    RECORDS.put_spare(record);
    true
}

/// Ends the spare caches that were so at the last call already; or `all` of them. Returns whether
/// there were any. The caller is in no nested slow path.
pub(crate) fn end_spares(all: bool) -> bool {
    let mut any = false;
    for _ in 0..=usize::from(all) {
        let Some(held) = RECORDS.lock.lock() else { break };
        let list = RECORDS.take_seen();
        drop(held);
        any |= !list.is_null();
        free_all(list, Record::end_left);
    }
    any
}

/// Ends the cache of the calling thread, which gets no other.
fn end_cache(record: &'static Record) {
    let _inside = inside::enter();
    record.end_left();
    helped::thread_ended();
    let Some(_held) = RECORDS.lock.lock() else { return };
    // SAFETY: [RECORDS-LOCKED]
    RECORDS.take_used(record.thread.with(|thread| unsafe { *thread }));
    RECORDS.put_free(record);
}

/// Milliseconds for a thread to go a few instructions.
const MOMENT: u32 = 1;

/// Waits until no thread is in the exit hook, which is not armed any more.
pub(crate) fn wait_for_hooks() {
    let mine = current().map_or(ptr::null(), ptr::from_ref);
    if threads().all(|(_, cache)| ptr::eq(cache, mine)) && HOOKS.load(ordering::exit_hooks()) == 0 {
        return;
    }
    loop {
        // A thread may be about to enter the hook, where nobody sees it yet.
        sys::futex_wait_for(&AtomicU32::new(0), 0, MOMENT);
        if HOOKS.load(ordering::exit_hooks()) == 0 {
            return;
        }
    }
}

/// Ends the caches of all threads, which get no others. Where caches of vanished threads
/// may be in any state, only that of the calling thread.
///
/// # Safety
/// \[OWNER-ONLY\] No thread uses its cache any more.
pub(crate) unsafe fn end_all() {
    // Sees all that the exit hooks did, as each of them had the lock at its end.
    drop(RECORDS.lock.lock());
    end_vanished(usize::MAX);
    end_spares(true);
    let mine = current::cache_of(tls::get());
    let forked = FORKED.load(ordering::forked());
    for record in records() {
        let ends = |cache: &Cache| !forked || ptr::eq(cache, mine);
        if record.cache.get().is_some_and(ends) {
            end_cache(record);
        }
    }
    tls::set(&ENDED);
}

/// Frees records that were taken off their list, each after `f`.
fn free_all(mut list: *mut Record, mut f: impl FnMut(&Record)) {
    // SAFETY: records are never freed; these are off the list, and ours.
    while let Some(record) = unsafe { list.as_ref() } {
        // SAFETY: likewise.
        list = record.next.with(|next| unsafe { *next });
        f(record);
        put_record(record);
    }
}

fn put_record(record: &'static Record) {
    if let Some(_held) = RECORDS.lock.lock() {
        RECORDS.put_free(record);
    }
}

/// Purges the caches of ended threads. Returns how many bytes.
pub(crate) fn purge() -> usize {
    if sys::page_size() > CACHE_BYTES {
        return 0;
    }
    let Some(held) = RECORDS.lock.lock() else { return 0 };
    // SAFETY: [RECORDS-LOCKED]
    let list = RECORDS.free.with(|free| unsafe { free.replace(ptr::null_mut()) });
    drop(held);
    let mut bytes = 0;
    free_all(list, |record| {
        // SAFETY: the record is ours; no thread has its cache.
        record.made.with(|made| unsafe {
            if *made && sys::purge(record.place.as_ptr().cast(), CACHE_BYTES) {
                *made = false;
                bytes += CACHE_BYTES;
            }
        });
    });
    bytes
}

/// Allocates a block of `class` for a thread without a cache.
#[cold]
pub(crate) fn alloc_without_cache(class: usize) -> *mut u8 {
    alloc_from(arena::nearest(), class)
}

fn alloc_from(shard: usize, class: usize) -> *mut u8 {
    let mut slot: Slot = ptr::null_mut();
    // SAFETY: there is one slot below the end of `slot`.
    let got = unsafe { span_source::take_shared(shard, class, (&raw mut slot).wrapping_add(1), 1) };
    usage::went_out(got * size_class::size(class));
    COUNTERS.small.add(got, got * size_class::size(class));
    slot
}

/// Allocates a block of `class` in a signal handler, where the interrupted code holds a
/// lock: from an arena whose heap is free, or else as a page run, or a huge block.
#[cold]
pub(crate) fn alloc_while_interrupted(class: usize) -> *mut u8 {
    let heaps = (0..arena::count()).filter(|shard| !arena::get(*shard).heap.is_held_here());
    let block = heaps.map(|shard| alloc_from(shard, class)).find(|block| !block.is_null());
    let size = size_class::size(class);
    // The largest power of two that divides the size: blocks of a class are aligned to it.
    let align = size & size.wrapping_neg();
    let large = || {
        interrupted::alloc(size, align, false)
            .inspect(|_| COUNTERS.large.add(1, page_runs::units(size) * UNIT))
    };
    block.or_else(large).unwrap_or(ptr::null_mut())
}

/// Blocks of each class that threads without a cache freed.
static RETURNED: [AtomicU32; CLASSES] = [const { AtomicU32::new(0) }; CLASSES];

/// Blocks of a class that threads without a cache freed, modulo 2^32.
pub(crate) fn returned(class: usize) -> u32 {
    RETURNED[class].load(ordering::returned_blocks())
}

/// One in so many blocks of a class that threads without a cache free makes its thread one.
/// So a thread that frees a few blocks and ends needs none, and one that goes on does not
/// take a lock for each.
const FREES_FOR_A_CACHE: u32 = 256;

/// Frees a block for a thread without a cache, in this slow path.
///
/// # Safety
/// The block is free, and its entry says `class`.
#[cold]
pub(crate) unsafe fn free_without_cache(slow: &mut SlowPath, block: *mut u8, class: usize) {
    // SAFETY: by the caller.
    let before = unsafe { return_block(block, class) };
    if before % FREES_FOR_A_CACHE == FREES_FOR_A_CACHE - 1 {
        let _ = get_or_create(slow);
    }
}

/// Puts a block into its span, and counts it. Returns how many of the class were before it,
/// modulo 2^32.
///
/// # Safety
/// The block is free, and its entry says `class`.
pub(super) unsafe fn return_block(block: *mut u8, class: usize) -> u32 {
    let before = RETURNED[class].fetch_add(1, ordering::returned_blocks());
    usage::came_back(size_class::size(class));
    // SAFETY: [LIVE-PINS-SPAN] by the caller.
    unsafe { send::send_one(block) };
    before
}

/// In the child of a fork, where the calling thread is in no slow path: all records but its
/// own belong to nobody, whatever list they were on. Their caches are ended when they are
/// needed.
pub(crate) fn after_fork() -> AfterFork {
    let (mut inside, mut lent, mut unreported) = (false, 0, 0);
    let own = current();
    for (_, cache) in threads() {
        // SAFETY: [OWNER-ONLY] no other thread runs.
        unsafe {
            if own.is_none_or(|own| !ptr::eq(own, cache)) {
                inside |= cache.is_inside();
                cache.settle_vanished();
            }
            lent += cache.lent();
            unreported += cache.unreported();
        }
    }
    usage::set_lent(lent);
    FORKED.store(false, ordering::forked());
    let ids = heap_table::thread_ids();
    RECORDS.free.with(|free| {
        // SAFETY: [RECORDS-LOCKED] no other thread runs.
        unsafe { *free = ptr::null_mut() }
    });
    // SAFETY: [RECORDS-LOCKED] likewise.
    RECORDS.spare.with(|spare| unsafe { *spare = ptr::null_mut() });
    for list in &RECORDS.used {
        // SAFETY: [RECORDS-LOCKED] likewise.
        list.with(|list| unsafe { *list = ptr::null_mut() });
    }
    RECORDS.vanished.with(|vanished| {
        // SAFETY: [RECORDS-LOCKED] likewise.
        unsafe {
            *vanished = Vanished { next: ids.start, end: ids.end, own: own.map_or(0, Cache::id) }
        };
    });
    AfterFork { inside, unreported }
}

/// What was found in the caches after a fork.
pub(crate) struct AfterFork {
    /// Whether a vanished thread was in a slow path.
    pub(crate) inside: bool,
    /// Bytes of blocks that left spans, and that caches did not report.
    pub(crate) unreported: isize,
}

/// In the child of a fork: no other thread is in its exit hook.
pub(crate) fn forget_hooks() {
    HOOKS.store(0, ordering::exit_hooks());
}

/// In the child of a fork, where the calling thread is in a slow path: the caches of vanished
/// threads stay as they are.
pub(crate) fn keep_vanished() {
    FORKED.store(true, ordering::forked());
}

/// In the child of a fork: frees an orphaned lock. The list is consistent after every
/// single store.
pub(crate) fn free_orphaned_lock() {
    if RECORDS.lock.is_orphaned() {
        RECORDS.lock.force_unlock();
    }
}

/// In the child of a fork: ends the caches of some threads that vanished. Returns whether
/// there may be more.
pub(crate) fn end_vanished(count: usize) -> bool {
    for _ in 0..count {
        let Some(held) = RECORDS.lock.lock() else { return false };
        let vanished = RECORDS.next_vanished();
        drop(held);
        let Some(record) = vanished else { return false };
        record.end_vanished();
        put_record(record);
    }
    true
}

/// Number of blocks of a class in magazines.
pub(crate) fn cached(class: usize) -> usize {
    debug_assert!(class < CLASSES);
    threads().map(|(_, cache)| cache.cached(class)).sum()
}

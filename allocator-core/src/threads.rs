//! Threads come and go: caches are born, end, and are used again. And what
//! threads do without a cache.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use crate::arena;
use crate::bin::Slot;
use crate::cache::{Cache, ENDED, NO_CACHE};
use crate::class::{self, CLASSES};
use crate::homes;
use crate::lock::Lock;
use crate::mail;
use crate::order;
use crate::pool;
use crate::supply;
use crate::sync::{self, AtomicU8, AtomicU32, Guarded};
use crate::sys;
use crate::table::Place;
use crate::tls;
use crate::usage;

/// Rounds in which thread-exit hooks run: we want the last but one.
const ROUNDS: u8 = 3;

/// A cache and what the registry knows of it. Never freed.
#[repr(C)]
struct Record {
    cache: Cache,
    /// The next free one \[RECORDS-LOCKED\].
    next: Guarded<*mut Record>,
    /// Exit hooks that ran for the thread.
    rounds: AtomicU8,
}

const _: () = assert!(size_of::<Record>() <= 4096);

struct Records {
    lock: Lock,
    /// Records without a thread \[RECORDS-LOCKED\].
    free: Guarded<*mut Record>,
}

// SAFETY: [RECORDS-LOCKED] the list is touched only under the lock.
unsafe impl Sync for Records {}

static RECORDS: Records = Records { lock: Lock::new(), free: Guarded::new(ptr::null_mut()) };

/// Records by id, for statistics and forks.
static TABLE: [Place<Record>; homes::IDS] = [const { Place::new() }; homes::IDS];

fn record(id: u32) -> Option<&'static Record> {
    TABLE.get(id as usize)?.get()
}

/// Every cache there ever was.
pub(crate) fn caches() -> impl Iterator<Item = &'static Cache> {
    homes::thread_ids().filter_map(|id| Some(&record(id)?.cache))
}

/// The calling thread's cache, if it has one now.
#[inline]
pub(crate) fn present() -> Option<&'static Cache> {
    let now = tls::get();
    if ptr::eq(now, &NO_CACHE) || ptr::eq(now, &ENDED) {
        return None;
    }
    // SAFETY: [HOMES-STAY] caches are never freed.
    Some(unsafe { &*now })
}

/// The calling thread's cache, making one if it never had one. `None`: it has
/// ended, or there is no memory or no id for it.
#[cold]
pub(crate) fn cache() -> Option<&'static Cache> {
    if let Some(cache) = present() {
        return Some(cache);
    }
    if ptr::eq(tls::get(), &ENDED) {
        return None;
    }
    let record = take_record()?;
    record.cache.home.reopen();
    record.cache.begin();
    record.rounds.store(0, order::owner());
    tls::set(&record.cache);
    // Last: it may allocate, and then finds the cache.
    if sys::arm_thread_exit(ptr::from_ref(record).cast_mut().cast()) {
        return Some(&record.cache);
    }
    // Nobody will say when the thread ends: what it kept would be lost.
    retire(record);
    None
}

fn take_record() -> Option<&'static Record> {
    let held = RECORDS.lock.take()?;
    let free = RECORDS.free.with(|free| {
        // SAFETY: [RECORDS-LOCKED]; records are never freed.
        unsafe {
            let record = (*free).as_ref()?;
            *free = record.next.with(|next| *next);
            Some(record)
        }
    });
    drop(held);
    free.or_else(new_record)
}

fn new_record() -> Option<&'static Record> {
    let memory = pool::get(size_of::<Record>())?.cast::<Record>();
    let Some(id) = homes::new_id() else {
        // SAFETY: just got, and not used.
        unsafe { pool::put(memory.cast(), size_of::<Record>()) };
        return None;
    };
    // SAFETY: the slot is ours, large enough, and aligned to its size; the three
    // make a record.
    let record = unsafe {
        let place = memory.as_ptr();
        Cache::make(NonNull::new_unchecked(&raw mut (*place).cache), id);
        (&raw mut (*place).next).write(Guarded::new(ptr::null_mut()));
        (&raw mut (*place).rounds).write(AtomicU8::new(0));
        memory.as_ref()
    };
    homes::publish(&record.cache.home);
    TABLE[id as usize].publish(record);
    Some(record)
}

/// The thread-exit hook. Other hooks may allocate and free after it, so it
/// comes back until the last round; the cache ends then.
///
/// # Safety
/// `value` is what [`cache`] armed the hook with.
pub(crate) unsafe extern "C" fn ended(value: *mut c_void) {
    // SAFETY: records are never freed.
    let record = unsafe { &*value.cast::<Record>() };
    let rounds = record.rounds.load(order::owner()) + 1;
    record.rounds.store(rounds, order::owner());
    if rounds < ROUNDS && sys::arm_thread_exit(value) {
        return;
    }
    retire(record);
}

/// Ends the calling thread's use of its cache; it gets none again.
fn retire(record: &'static Record) {
    tls::set(&ENDED);
    // SAFETY: [OWNER-ONLY] this is the cache's thread, which has left it.
    unsafe { record.cache.end() };
    let Some(_held) = RECORDS.lock.take() else { return };
    RECORDS.free.with(|free| {
        // SAFETY: [RECORDS-LOCKED]
        unsafe {
            record.next.with(|next| *next = *free);
            sync::in_order();
            *free = ptr::from_ref(record).cast_mut();
        }
    });
}

/// A block of `class` for a thread without a cache.
#[cold]
pub(crate) fn alloc_without_cache(class: usize) -> *mut u8 {
    let mut slot: Slot = ptr::null_mut();
    // SAFETY: there is one slot below the end of `slot`.
    let got =
        unsafe { supply::take_shared(arena::nearest(), class, (&raw mut slot).wrapping_add(1), 1) };
    usage::went_out(got * class::size(class));
    slot
}

/// Blocks of each class that threads without a cache gave back.
static RETURNED: [AtomicU32; CLASSES] = [const { AtomicU32::new(0) }; CLASSES];

/// Blocks of a class that threads without a cache gave back, modulo 2^32.
pub(crate) fn returned(class: usize) -> u32 {
    RETURNED[class].load(order::count())
}

/// Takes back a block from a thread without a cache. It makes none for that:
/// threads that only free need none.
///
/// # Safety
/// The block is free, and its entry says `class`.
#[cold]
pub(crate) unsafe fn free_without_cache(block: *mut u8, class: usize) {
    RETURNED[class].fetch_add(1, order::count());
    usage::came_back(class::size(class));
    // SAFETY: [LIVE-PINS-SPAN] by the caller.
    unsafe { mail::send_one(block) };
}

/// In the child of a fork. The other threads are not here: their caches are
/// nobody's. A home that was open is lost; the rest can be robbed.
pub(crate) fn after_fork() {
    if RECORDS.lock.is_orphaned() {
        RECORDS.lock.reset();
    }
    for cache in caches() {
        if cache.home.bury_if_orphaned() && ptr::eq(cache, tls::get()) {
            // A sender or a thief had the forking thread's home open: that
            // thread starts anew, as one without a cache.
            sys::arm_thread_exit(ptr::null_mut());
            tls::set(&NO_CACHE);
        }
    }
    drop_lost_records();
}

/// In the child of a fork: a home that was lost is not used again.
fn drop_lost_records() {
    let Some(_held) = RECORDS.lock.try_take() else { return };
    RECORDS.free.with(|free| {
        // SAFETY: [RECORDS-LOCKED]; records are never freed.
        unsafe {
            let mut at = core::mem::replace(&mut *free, ptr::null_mut());
            while let Some(record) = at.as_ref() {
                let next = record.next.with(|next| *next);
                if !record.cache.home.bury_if_orphaned() {
                    record.next.with(|next| *next = *free);
                    *free = at;
                }
                at = next;
            }
        }
    });
}

/// Blocks of a class that magazines hold.
pub(crate) fn cached(class: usize) -> usize {
    debug_assert!(class < CLASSES);
    caches().map(|cache| cache.cached(class)).sum()
}

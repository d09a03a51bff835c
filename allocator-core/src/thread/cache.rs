//! A thread cache: one magazine a class, the heap of the spans that the thread
//! has leased, and an remote cache for other owners' blocks. The fast paths touch
//! the bins alone; everything below is reached once for dozens of blocks.
//!
//! ```text
//!  ├─────────── bins: 75 × 32 B ───────────┼ view ┼─ heap ─┼ owner ┤  a page, or less
//!   top limit base key │ …                           │        remote cache, budget, trials
//!                                                    └──► lock, remote queue, spans: elsewhere
//! ```
//!
//! \[OWNER-ONLY\] Bins and the owner's part belong to one thread; of the bins
//! others read numbers, for statistics. The heap is anybody's who takes its lock.

use core::ptr::NonNull;

use crate::base::size_class::CLASSES;
use crate::base::sync::Guarded;
use crate::heaps::heap::Heap;
use crate::pages::arena;
use crate::spans::page_map::{self, View};
use crate::thread::bin::{Bin, NO_KEY};
use crate::thread::budget::Budget;
use crate::thread::cache_tail::Tail;
use crate::thread::flow::Flow;
use crate::thread::lease_trial::Trial;
use crate::thread::remote_cache::{Buffered, RemoteCache};

/// Most blocks in a magazine.
pub(super) const MAX_MAGAZINE_BLOCKS: usize = 8191;

/// In `seen`: the class had a slow-path call since the clock came by.
pub(super) const ACTIVE: u8 = u8::MAX;

#[repr(C, align(64))]
pub(crate) struct Cache {
    /// First, so that a bin's place is one addition away.
    pub(super) bins: [Bin; CLASSES],
    /// Where the map is, as the thread knows it \[OWNER-ONLY\].
    pub(super) view: View,
    /// Not in here: it stays when the thread ends, and this does not.
    pub(crate) heap: &'static Heap,
    pub(super) owner: Guarded<Owner>,
}

/// \[OWNER-ONLY\] What only the cache's thread touches.
pub(super) struct Owner {
    /// The shard that the thread draws from.
    pub(super) shard: u8,
    /// What full magazines may hold.
    pub(super) budget: Budget,
    /// The next class to be looked at for being idle.
    pub(super) clock: usize,
    /// The next class to be looked at when bytes are short.
    pub(super) victim: usize,
    /// The class that is being refilled: no room is taken from it.
    pub(super) filling: usize,
    /// So many flushes are due before more room is looked for again.
    pub(super) patience: u8,
    /// How full each bin was when the clock came by, modulo [`ACTIVE`].
    pub(super) seen: [u8; CLASSES],
    /// Whether leases are worth while.
    pub(super) trials: [Trial; CLASSES],
    /// Slow-path calls.
    pub(super) calls: u32,
    /// Blocks that left spans for here, less those that went back.
    pub(super) flow: Flow,
    /// One bit a class: its magazine ran empty since it last grew because it ran
    /// over.
    pub(super) emptied: [u64; CLASSES.div_ceil(64)],
    pub(super) remote_cache: RemoteCache,
    /// Where the small magazines are.
    pub(super) tail: Tail,
}

// SAFETY: [OWNER-ONLY] others touch the heap and read numbers in bins.
unsafe impl Sync for Cache {}

/// The cache of threads that have none: every path finds it empty, full and
/// foreign, and goes the slow way.
pub(super) static NO_CACHE: Cache = Cache::nobodys();

/// A heap of no spans, for those.
static NO_CACHE_HEAP: Heap = Heap::new(0);

/// As [`NO_CACHE`], for threads that will have none again: theirs has ended.
pub(super) static ENDED: Cache = Cache::nobodys();

impl Owner {
    /// Whether the magazine ran empty since it last grew.
    pub(super) fn has_emptied(&self, class: usize) -> bool {
        self.emptied[class / 64] >> (class % 64) & 1 != 0
    }
}

impl Cache {
    /// A free block of `class`, if there is one at hand; else null.
    ///
    /// # Safety
    /// \[OWNER-ONLY\], or a cache of nobody's.
    #[inline(always)]
    pub(crate) unsafe fn pop(&self, class: usize) -> *mut u8 {
        // SAFETY: by the caller.
        unsafe { self.bins[class].pop() }
    }

    /// Keeps a block, if the map says that it is of `class` and this cache's,
    /// and there is room. Says whether it did.
    ///
    /// # Safety
    /// \[OWNER-ONLY\], or a cache of nobody's; the block is free.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: usize, block: *mut u8) -> bool {
        let bin = &self.bins[class];
        match self.view.entry(block) {
            // SAFETY: by the caller.
            Some(entry) if bin.is_for(entry) => unsafe { bin.push(block) },
            _ => false,
        }
    }

    /// As [`push`](Self::push), for whichever class the map says.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub(crate) unsafe fn push_any(&self, block: *mut u8) -> bool {
        let Some(entry) = self.view.entry(block) else { return false };
        match self.bins.get(page_map::kind(entry) as usize) {
            // SAFETY: by the caller.
            Some(bin) if bin.is_for(entry) => unsafe { bin.push(block) },
            _ => false,
        }
    }

    /// Holds back a small block with this entry, if another owner has it and
    /// there is an remote cache. Says whether it did.
    ///
    /// # Safety
    /// \[OWNER-ONLY\], or a cache of nobody's; the block is free.
    #[inline(always)]
    pub(crate) unsafe fn buffer_remote(&self, block: *mut u8, entry: u32) -> Buffered {
        // SAFETY: [OWNER-ONLY] by the caller; a cache of nobody's has no remote cache.
        unsafe {
            if page_map::owner(entry) == self.id() {
                return Buffered::No;
            }
            let (owner, class) = (self.owner(), page_map::kind(entry) as usize);
            let held = owner.remote_cache.hold(block, class);
            if held != Buffered::No {
                self.heap.count_back(class, 1);
                owner.trials[class].note_free(block);
            }
            held
        }
    }

    /// A cache of nobody's.
    const fn nobodys() -> Self {
        Cache {
            view: View::empty(),
            bins: [const { Bin::new(NO_KEY) }; CLASSES],
            heap: &NO_CACHE_HEAP,
            owner: Guarded::new(Owner {
                shard: 0,
                budget: Budget::new(),
                clock: 0,
                victim: 0,
                filling: CLASSES,
                patience: 0,
                seen: [0; CLASSES],
                trials: [const { Trial::new() }; CLASSES],
                calls: 0,
                flow: Flow::new(),
                emptied: [0; CLASSES.div_ceil(64)],
                remote_cache: RemoteCache::new(),
                tail: Tail::empty(),
            }),
        }
    }

    /// Makes a cache with this heap at a place in memory, of so many bytes: made
    /// elsewhere first, it would touch a page of the thread's stack for good.
    ///
    /// # Safety
    /// The place is the caller's.
    pub(super) unsafe fn make(place: NonNull<Cache>, bytes: usize, heap: &'static Heap) {
        // SAFETY: by the caller; nobody ever writes to the cache of nobody's.
        let cache = unsafe {
            place.copy_from_nonoverlapping(NonNull::from(&NO_CACHE), 1);
            (&raw mut (*place.as_ptr()).heap).write(heap);
            place.as_ref()
        };
        // SAFETY: the rest of the place is the caller's, too.
        unsafe {
            let rest = Tail::new(place.add(1).cast().as_ptr(), bytes - size_of::<Cache>());
            cache.owner().tail = rest;
        }
        for (class, bin) in cache.bins.iter().enumerate() {
            bin.set_key(page_map::entry_of(heap.id(), class as u32));
        }
    }

    /// Begins a thread's use of the cache.
    pub(super) fn begin(&self) {
        self.view.refresh();
        // SAFETY: [OWNER-ONLY] the caller just got the cache for its thread.
        unsafe { self.owner() }.shard = arena::nearest() as u8;
    }

    /// # Safety
    /// \[OWNER-ONLY\]; the reference is not kept across calls into others.
    #[expect(clippy::mut_from_ref, reason = "one thread has the owner's part")]
    pub(super) unsafe fn owner(&self) -> &mut Owner {
        // SAFETY: [OWNER-ONLY] by the caller.
        self.owner.with(|owner| unsafe { &mut *owner })
    }

    /// The shard that the thread draws from. Called by the thread itself.
    pub(crate) fn shard(&self) -> usize {
        // SAFETY: [OWNER-ONLY]
        unsafe { self.owner() }.shard.into()
    }

    /// The id of the cache's heap.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.heap.id()
    }

    /// Blocks of a class in the magazine.
    pub(crate) fn cached(&self, class: usize) -> usize {
        // One that ended, and whose memory went back, reads as anything.
        Some(self.bins[class].len()).filter(|len| *len <= MAX_MAGAZINE_BLOCKS).unwrap_or(0)
    }
}

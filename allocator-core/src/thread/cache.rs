//! A thread cache: one bin for each size class, the heap of the spans that the
//! thread leases, and a remote cache for blocks of other owners. An allocation
//! pops a block from the bin of its class. A free looks the block up in the page
//! map and pushes it into the bin whose key equals the entry. These paths take no
//! lock; the slow paths run once for dozens of blocks.
//!
//! ```text
//!  ├───────────────────────── a page of 4 KiB ──────────────────────────┤
//!  │ bins: 75 × 32 B         │ view │ heap │ owner's part  │ tail       │
//!    top limit base key │ …            │     remote cache,   small
//!                                      │     budget, trials  magazines
//!                                      └──► lock, remote queue, spans; stays
//! ```
//!
//! \[OWNER-ONLY\] Only the cache's thread touches the bins, the view and the
//! owner's part; others only read the lengths of bins, for statistics, and may
//! invalidate the view. The heap belongs to whoever holds its lock.

use core::mem::offset_of;
use core::ptr::NonNull;

use crate::base::directory;
use crate::base::size_class::CLASSES;
use crate::base::sync::Guarded;
use crate::heaps::heap::Heap;
use crate::pages::arena;
use crate::profile::countdown::Countdown;
use crate::spans::page_map::{self, View};
use crate::thread::bin::{Bin, NO_KEY};
use crate::thread::budget::Budget;
use crate::thread::cache_tail::Tail;
use crate::thread::doubt::Doubt;
use crate::thread::flow::Flow;
use crate::thread::lease_trial::Trial;
use crate::thread::remote_cache::RemoteCache;

/// Most blocks in a magazine.
pub(super) const MAX_MAGAZINE_BLOCKS: usize = 8191;

/// In `seen`: the class had a slow-path call since the clock last came by.
pub(super) const ACTIVE: u8 = u8::MAX;

#[repr(C, align(64))]
pub(crate) struct Cache {
    /// First, so that the address of a bin is one addition away.
    pub(super) bins: [Bin; CLASSES],
    /// The thread's own copy of where the page map is \[OWNER-ONLY\].
    pub(super) view: View,
    /// Outside the cache: it outlives the thread, which the cache does not.
    pub(crate) heap: &'static Heap,
    pub(super) owner: Guarded<Owner>,
    /// Counts what a thread allocates while it is profiled \[OWNER-ONLY\].
    pub(crate) countdown: Countdown,
}

/// \[OWNER-ONLY\] The part that only the cache's thread touches.
pub(super) struct Owner {
    /// The shard that the thread draws from.
    pub(super) shard: u8,
    /// The shard that was nearest when the thread last looked.
    pub(super) nearest: u8,
    /// Slow paths that the thread is in: more than one in a signal handler.
    pub(super) inside: u32,
    /// What the child of a fork could not rely on.
    pub(super) doubt: Doubt,
    /// Bounds the bytes that full magazines would hold.
    pub(super) budget: Budget,
    /// The next class to be checked for idleness.
    pub(super) clock: usize,
    /// The next class to give up capacity when the budget is short.
    pub(super) victim: usize,
    /// The class that is being refilled: it gives up no capacity.
    pub(super) filling: usize,
    /// Flushes to go before the next attempt to grow a magazine.
    pub(super) patience: u8,
    /// The length of each bin when the clock last came by, modulo [`ACTIVE`].
    pub(super) seen: [u8; CLASSES],
    /// Whether each class is worth a lease.
    pub(super) trials: [Trial; CLASSES],
    /// Slow-path calls, modulo 2^32.
    pub(super) calls: u32,
    /// Bytes that left spans for this thread, less those that went back.
    pub(super) flow: Flow,
    /// One bit a class: its magazine ran empty since it last grew on overflow.
    pub(super) emptied: [u64; CLASSES.div_ceil(64)],
    pub(super) remote_cache: RemoteCache,
    /// Holds the small magazines.
    pub(super) tail: Tail,
}

// SAFETY: [OWNER-ONLY] others use only the heap, lengths of bins, and a word of
// the view.
unsafe impl Sync for Cache {}

/// The stand-in for threads without a cache. Its bins are empty and full, and no
/// block belongs to it: so every fast path falls through to its slow path.
pub(super) static NO_CACHE: Cache = Cache::nobodys();

/// The heap of the stand-ins; it has no spans.
static NO_CACHE_HEAP: Heap = Heap::new(0);

/// The stand-in for threads whose cache has ended: they get no other.
pub(super) static ENDED: Cache = Cache::nobodys();

/// The stand-in for threads in a slow path, which has their cache.
pub(crate) static IN_SLOW_PATH: Cache = Cache::nobodys();

/// The stand-in for threads that are profiled, which have their cache in another word.
pub(super) static PROFILED: Cache = Cache::nobodys();

impl Owner {
    /// Whether the magazine ran empty since it last grew on overflow.
    pub(super) fn has_emptied(&self, class: usize) -> bool {
        self.emptied[class / 64] >> (class % 64) & 1 != 0
    }
}

impl Cache {
    /// Where the lengths of bins are, for readers outside of the process.
    pub(crate) const OFFSETS: directory::Cache = {
        let [top, base] = Bin::OFFSETS;
        let (bins, stride) = (offset_of!(Cache, bins), size_of::<Bin>());
        directory::Cache { bins, stride, top, base, most: MAX_MAGAZINE_BLOCKS }
    };

    /// Takes the newest block of `class` from its magazine, if there is one.
    ///
    /// # Safety
    /// \[OWNER-ONLY\], or a stand-in.
    #[inline(always)]
    pub(crate) unsafe fn pop(&self, class: usize) -> Option<*mut u8> {
        // SAFETY: by the caller.
        unsafe { self.bins[class].pop() }
    }

    /// Puts a block into the magazine of `class`, if the page map says that it is
    /// of that class and this cache's, and there is room. Returns whether it did.
    ///
    /// # Safety
    /// \[OWNER-ONLY\], or a stand-in; the block is free.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: usize, block: *mut u8) -> bool {
        let bin = &self.bins[class];
        match self.view.entry(block) {
            // SAFETY: by the caller.
            Some(entry) if bin.is_for(entry) => unsafe { bin.push(block) },
            _ => false,
        }
    }

    /// Like [`push`](Self::push), for the class that the page map names, unless the block
    /// was the last to be pushed there.
    ///
    /// # Safety
    /// As for [`push`](Self::push).
    #[inline(always)]
    pub(crate) unsafe fn push_any(&self, block: *mut u8) -> bool {
        let Some(entry) = self.view.entry(block) else { return false };
        match self.bins.get(page_map::kind(entry) as usize) {
            // SAFETY: by the caller.
            Some(bin) if bin.is_for(entry) => unsafe { bin.push_another(block) },
            _ => false,
        }
    }

    /// Whether a small block with this entry goes to the remote cache: another owner has
    /// it, the remote cache has an array (that of a stand-in has none), the block was not the
    /// last to be put there, and nobody asked the thread to flush what it keeps.
    ///
    /// # Safety
    /// \[OWNER-ONLY\], or a stand-in.
    #[inline(always)]
    pub(crate) unsafe fn buffers(&self, block: *mut u8, entry: u32) -> bool {
        // SAFETY: by the caller.
        let remote_cache = unsafe { &self.owner().remote_cache };
        page_map::owner(entry) != self.id()
            && remote_cache.has_array()
            && !remote_cache.is_newest(block)
            && !self.view.is_invalidated()
    }

    /// Puts a block of `class` and of another owner into the remote cache, which has an
    /// array. Returns whether it is full now: then it must be sent.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the block is free.
    #[inline(always)]
    pub(crate) unsafe fn buffer(&self, block: *mut u8, class: usize, to: u32) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller.
        let owner = unsafe { self.owner() };
        // SAFETY: by the caller.
        let is_full = unsafe { owner.remote_cache.buffer(block, class, to) };
        self.heap.count_back(class, 1);
        owner.trials[class].note_free(block);
        is_full
    }

    /// A stand-in: a cache of no thread.
    const fn nobodys() -> Self {
        Cache {
            view: View::empty(),
            bins: [const { Bin::new(NO_KEY) }; CLASSES],
            heap: &NO_CACHE_HEAP,
            countdown: Countdown::new(),
            owner: Guarded::new(Owner {
                shard: 0,
                nearest: 0,
                inside: 0,
                doubt: Doubt::new(),
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

    /// Makes a cache with this heap in place, of `bytes` with its tail. Built on
    /// the stack and moved, it would leave a page of the thread's stack resident.
    ///
    /// # Safety
    /// The caller owns `bytes` at `place`.
    pub(super) unsafe fn make(place: NonNull<Cache>, bytes: usize, heap: &'static Heap) {
        // SAFETY: by the caller; nobody ever writes to a stand-in.
        let cache = unsafe {
            place.copy_from_nonoverlapping(NonNull::from(&NO_CACHE), 1);
            (&raw mut (*place.as_ptr()).heap).write(heap);
            place.as_ref()
        };
        // SAFETY: the caller owns the rest of the place, too.
        unsafe {
            let rest = Tail::new(place.add(1).cast().as_ptr(), bytes - size_of::<Cache>());
            cache.owner().tail = rest;
        }
        for (class, bin) in cache.bins.iter().enumerate() {
            bin.set_key(page_map::entry_of(heap.id(), class as u32));
        }
    }

    /// Prepares the cache for a thread that starts to use it.
    pub(super) fn begin(&self) {
        self.view.refresh();
        // SAFETY: [OWNER-ONLY] the calling thread just got the cache.
        let owner = unsafe { self.owner() };
        // Until the thread has got it.
        owner.inside = 1;
        owner.nearest = arena::nearest() as u8;
        owner.shard = owner.nearest;
    }

    /// Records that the thread has got the cache.
    pub(super) fn got(&self) {
        // SAFETY: [OWNER-ONLY] called by the thread itself.
        unsafe { self.owner() }.inside = 0;
    }

    /// # Safety
    /// \[OWNER-ONLY\]; the reference is not kept across calls that take another.
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

    /// The number of blocks in the magazine of a class. Any thread may ask.
    pub(crate) fn cached(&self, class: usize) -> usize {
        // If the cache ended and its page was purged, the length may be anything.
        Some(self.bins[class].len()).filter(|len| *len <= MAX_MAGAZINE_BLOCKS).unwrap_or(0)
    }
}

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

use core::ptr::{self, NonNull};
use core::slice;

use crate::base::size_class::{self, CLASSES};
use crate::base::sync::Guarded;
use crate::heaps::heap::Heap;
use crate::heaps::remote_queue::Batch;
use crate::pages::arena;
use crate::pages::metadata;
use crate::pages::usage;
use crate::remote::send;
use crate::remote::span_source;
use crate::remote::span_transfer::{self, Refill};
use crate::spans::page_map::{self, MAP, View};
use crate::thread::bin::{Bin, NO_KEY, Slot};
use crate::thread::budget::Budget;
use crate::thread::cache_tail::Tail;
use crate::thread::lease_trial::Trial;
use crate::thread::remote_cache::{Buffered, RemoteCache};

/// Most blocks in a magazine.
const MAX_MAGAZINE_BLOCKS: usize = 8191;
/// Most bytes of blocks in one magazine.
const MAX_MAGAZINE_BYTES: usize = 512 << 10;
/// A magazine grows to at most so many blocks because it ran empty; beyond
/// that only because it ran over.
const REFILL: usize = 127;
/// Likewise in bytes, but at least one block.
const REFILL_BYTES: usize = 8 << 10;
/// The first magazine of a class: so many blocks, or so many bytes, whichever
/// is less.
const FIRST: usize = 3;
const FIRST_BYTES: usize = 2 << 10;
/// What it is filled with at first, in bytes.
const FIRST_FILL: usize = 64;

/// Magazines looked at for unused room at a time.
const SHIFTS: usize = 24;
const FEW: usize = 4;
/// Flushes that follow upon a search for room that found none, before the next.
const PATIENCE: u8 = 24;

/// Slow-path calls between two looks at one magazine.
const AGE: u32 = 16;
/// Slow-path calls after which the remote cache is sent off, however full.
const TIDY: u32 = 256;
/// Bytes that `flow` may come to before it is told.
const FLOW: isize = 32 << 10;
/// In `seen`: the class had a slow-path call since the clock came by.
const ACTIVE: u8 = u8::MAX;

#[repr(C, align(64))]
pub(crate) struct Cache {
    /// First, so that a bin's place is one addition away.
    bins: [Bin; CLASSES],
    /// Where the map is, as the thread knows it \[OWNER-ONLY\].
    view: View,
    /// Not in here: it stays when the thread ends, and this does not.
    pub(crate) heap: &'static Heap,
    owner: Guarded<Owner>,
}

/// \[OWNER-ONLY\] What only the cache's thread touches.
struct Owner {
    /// The shard that the thread draws from.
    shard: u8,
    /// What full magazines may hold.
    budget: Budget,
    /// The next class to be looked at for being idle.
    clock: usize,
    /// The next class to be looked at when bytes are short.
    victim: usize,
    /// The class that is being refilled: no room is taken from it.
    filling: usize,
    /// So many flushes are due before more room is looked for again.
    patience: u8,
    /// How full each bin was when the clock came by, modulo [`ACTIVE`].
    seen: [u8; CLASSES],
    /// Whether leases are worth while.
    trials: [Trial; CLASSES],
    /// Slow-path calls.
    calls: u32,
    /// Bytes of blocks that left spans for here, less those that went back, as
    /// far as [`usage`] was not told.
    flow: isize,
    /// One bit a class: its magazine ran empty since it last grew because it ran
    /// over.
    emptied: [u64; CLASSES.div_ceil(64)],
    remote_cache: RemoteCache,
    /// Where the small magazines are.
    tail: Tail,
}

// SAFETY: [OWNER-ONLY] others touch the heap and read numbers in bins.
unsafe impl Sync for Cache {}

/// The cache of threads that have none: every path finds it empty, full and
/// foreign, and goes the slow way.
pub(crate) static NO_CACHE: Cache = Cache::nobodys();

/// A heap of no spans, for those.
static NO_CACHE_HEAP: Heap = Heap::new(0);

/// As [`NO_CACHE`], for threads that will have none again: theirs has ended.
pub(crate) static ENDED: Cache = Cache::nobodys();

/// Where the room for a larger magazine may come from.
#[derive(Clone, Copy)]
enum Room {
    /// What is left of the budget, or not filled elsewhere.
    Left,
    /// More of a budget: for threads that free as well as allocate.
    Lent,
    /// Others' larger magazines, the blocks above it put away.
    Made,
}

impl Owner {
    /// Notes blocks that left spans (or, below 0, went back).
    #[inline]
    fn flows(&mut self, bytes: isize) {
        self.flow += bytes;
        if self.flow.unsigned_abs() >= FLOW.unsigned_abs() {
            self.tell_flow();
        }
    }

    /// Whether the magazine ran empty since it last grew.
    fn has_emptied(&self, class: usize) -> bool {
        self.emptied[class / 64] >> (class % 64) & 1 != 0
    }

    /// Tells what was noted.
    fn tell_flow(&mut self) {
        let flow = core::mem::take(&mut self.flow);
        if flow >= 0 {
            usage::went_out(flow.unsigned_abs());
        } else {
            usage::came_back(flow.unsigned_abs());
        }
    }
}

impl Cache {
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
                flow: 0,
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
    pub(crate) unsafe fn make(place: NonNull<Cache>, bytes: usize, heap: &'static Heap) {
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
            bin.name(page_map::entry_of(heap.id(), class as u32));
        }
    }

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

    /// Begins a thread's use of the cache.
    pub(crate) fn begin(&self) {
        self.view.refresh();
        // SAFETY: [OWNER-ONLY] the caller just got the cache for its thread.
        unsafe { self.owner() }.shard = arena::nearest() as u8;
    }

    /// # Safety
    /// \[OWNER-ONLY\]; the reference is not kept across calls into others.
    #[expect(clippy::mut_from_ref, reason = "one thread has the owner's part")]
    unsafe fn owner(&self) -> &mut Owner {
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

    /// A block of `class` when the magazine is empty; null when there is no
    /// memory.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn refill(&self, class: usize) -> *mut u8 {
        let bin = &self.bins[class];
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            self.count_call(class);
            if bin.capacity() == 0 {
                if !self.start(class) {
                    return self.one(class);
                }
            } else {
                let doubled = (bin.capacity() * 2).min(refill_capacity(class));
                if doubled > bin.capacity() {
                    self.resize(class, doubled, Room::Left);
                }
            }
            self.owner().filling = class;
            let trial = &mut self.owner().trials[class];
            let leases = trial.leases(class);
            let most = if leases { REFILL } else { first_fill(class).max(trial.drawn()) };
            let want = bin.capacity().min(most);
            let end = bin.first().wrapping_add(want);
            let got = if leases {
                self.take_leased(class, end, want)
            } else {
                self.take_shared(class, end, want)
            };
            let owner = self.owner();
            owner.filling = CLASSES;
            owner.emptied[class / 64] |= 1 << (class % 64);
            owner.flows((got * size_class::size(class)).cast_signed());
            debug_assert!(got <= bin.capacity());
            if bin.len() == 0 {
                if got == 0 {
                    return ptr::null_mut();
                }
                if got < want {
                    ptr::copy(end.wrapping_sub(got), bin.first(), got);
                }
                bin.set_len(got);
            }
            if !leases {
                self.owner().trials[class].draw(bin.blocks());
            }
            bin.pop()
        }
    }

    /// Takes blocks of `class` from a heap, ours or the arena's. Where there is
    /// batches, that goes to the magazines: then there may be a block in this
    /// one; else the blocks are below `end`, and it is returned how many.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; `want` slots below `end` are free.
    unsafe fn take_from(&self, heap: &Heap, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: [OWNER-ONLY] by the caller, as for the slots.
        unsafe {
            loop {
                match span_transfer::take_or_receive(heap, class, end, want) {
                    Refill::Blocks(got) => return got,
                    Refill::Received(received) => self.read(received, heap),
                }
                if self.bins[class].len() != 0 {
                    return 0;
                }
            }
        }
    }

    /// Fills magazines from a received batch of a heap's.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the received batch is in our hands.
    unsafe fn read(&self, received: NonNull<Batch>, heap: &Heap) {
        let (id, entries) = (heap.id(), MAP.entries());
        let (mut grow, mut bytes) = (true, 0);
        let wants = |block| {
            let entry = entries.of(block);
            let class = page_map::kind(entry) as usize;
            let Some(bin) = self.bins.get(class).filter(|_| page_map::owner(entry) == id) else {
                return false;
            };
            // SAFETY: [OWNER-ONLY] by the caller; the block is free, and in no
            // other place from now on.
            let fits = unsafe { bin.push(block) || (grow && self.grow(class) && bin.push(block)) };
            if fits {
                self.heap.count_out(class, 1);
                bytes += size_class::size(class);
            } else {
                grow = false;
            }
            fits
        };
        // SAFETY: [OWNER-ONLY] [BATCH-ONE-PLACE] by the caller.
        unsafe {
            received.as_ref().with(|contents| contents.extract(wants));
            self.owner().flows(bytes.cast_signed());
            span_transfer::finish_received(heap, received, &mut self.owner().remote_cache.batches);
        }
    }

    /// Takes blocks from spans that the arena shares out, as [`take_from`]
    /// does.
    ///
    /// [`take_from`]: Self::take_from
    ///
    /// # Safety
    /// As there.
    unsafe fn take_shared(&self, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: [OWNER-ONLY] by the caller, as for the slots.
        unsafe {
            let shard = self.shard();
            match self.take_from(&arena::get(shard).heap, class, end, want) {
                0 if self.bins[class].len() == 0 => {
                    span_source::take_shared(shard, class, end, want)
                }
                got => got,
            }
        }
    }

    /// Takes blocks from the thread's spans, as [`take_from`] does, leasing
    /// another span if these have none.
    ///
    /// [`take_from`]: Self::take_from
    ///
    /// # Safety
    /// As there.
    unsafe fn take_leased(&self, class: usize, end: *mut Slot, want: usize) -> usize {
        // SAFETY: by the caller; the span names our heap, and is in our hands.
        unsafe {
            let mut got = self.take_from(self.heap, class, end, want);
            if got == 0
                && self.bins[class].len() == 0
                && let Some(span) = span_source::find_span(self.shard(), class, self.id())
                && let Some(mut locked) = self.heap.lock()
            {
                locked.adopt(span);
                got = locked.take(class, end, want);
                self.heap.count_out(class, got);
                arena::release_spans(locked.unlock());
            }
            got
        }
    }

    /// Gives a class its first magazine, as large as may be. False if there
    /// is no room for any.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn start(&self, class: usize) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.resize(class, first_capacity(class), Room::Left)
                || self.resize(class, 1, Room::Made)
        }
    }

    /// One block for a class without a magazine.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn one(&self, class: usize) -> *mut u8 {
        let mut slot: Slot = ptr::null_mut();
        let end = (&raw mut slot).wrapping_add(1);
        // SAFETY: [OWNER-ONLY]; there is one slot below `end`.
        unsafe {
            let got = self.take_leased(class, end, 1);
            self.owner().flows((got * size_class::size(class)).cast_signed());
        }
        slot
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
                owner.trials[class].see(block);
            }
            held
        }
    }

    /// Takes a block of `class` that another owner has, to send it there.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the block is free, a small one, and its entry says
    /// `class` and another owner.
    #[cold]
    pub(crate) unsafe fn pass_on(&self, block: *mut u8, class: usize) {
        self.heap.count_back(class, 1);
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.owner().trials[class].see(block);
            self.send(block, class);
        }
    }

    /// Takes back a block of `class` of our own, for which there was no room
    /// in the magazine.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the block is free, a small one, and its entry says us
    /// and `class`.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn take_back(&self, block: *mut u8, class: usize) {
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            self.count_call(class);
            if self.view.is_invalidated() {
                self.tidy();
            }
            self.view.refresh();
            let bin = &self.bins[class];
            if bin.push(block) {
                return;
            }
            self.make_room(class);
            if !bin.push(block) {
                let mut block = block;
                self.heap.count_back(class, 1);
                self.owner().flows(-size_class::size(class).cast_signed());
                self.put_away(slice::from_mut(&mut block));
            }
        }
    }

    /// Makes room in a full magazine: more of it, or half of it put away.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn make_room(&self, class: usize) {
        let bin = &self.bins[class];
        let capacity = bin.capacity();
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            if capacity == 0 {
                self.start(class);
                return;
            }
            let owner = self.owner();
            if owner.patience != 0 {
                owner.patience -= 1;
            } else if self.grow(class) {
                return;
            } else if capacity < max_capacity(class) && self.owner().has_emptied(class) {
                self.owner().patience = PATIENCE;
            }
            self.flush(class, capacity.div_ceil(2));
        }
    }

    /// Makes a magazine that ran over a larger one, if it ran empty since that
    /// last happened: what only ever comes is not wanted back. Says whether it
    /// could.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn grow(&self, class: usize) -> bool {
        let capacity = self.bins[class].capacity();
        let more = (capacity * 2 + 1).min(max_capacity(class));
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let wanted = self.owner().has_emptied(class);
            let grows =
                wanted && capacity != 0 && more > capacity && self.resize(class, more, Room::Lent);
            if grows {
                self.owner().emptied[class / 64] &= !(1 << (class % 64));
            }
            grows
        }
    }

    /// Puts the `count` oldest blocks of a magazine into their spans.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; the magazine has so many.
    unsafe fn flush(&self, class: usize, count: usize) {
        let bin = &self.bins[class];
        let len = bin.len();
        if count == 0 {
            return;
        }
        self.heap.count_back(class, count);
        // SAFETY: [OWNER-ONLY] the slots below the top are filled.
        unsafe {
            self.owner().flows(-(count * size_class::size(class)).cast_signed());
            self.put_away(slice::from_raw_parts_mut(bin.first(), count));
            ptr::copy(bin.first().wrapping_add(count), bin.first(), len - count);
        }
        bin.set_len(len - count);
    }

    /// Puts blocks into their spans; those of other owners go to the remote cache.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; \[LIVE-PINS-SPAN\]
    unsafe fn put_away(&self, blocks: &mut [*mut u8]) {
        let Some(mut locked) = self.heap.lock() else { return };
        // SAFETY: [LIVE-PINS-SPAN] by the caller.
        let left = unsafe { locked.put(blocks) };
        arena::release_spans(locked.unlock());
        for block in &blocks[..left] {
            // No class there any more: the block was freed twice, and whoever
            // it is sent to finds that out.
            let class = (page_map::kind(MAP.entry(*block)) as usize).min(CLASSES - 1);
            // SAFETY: [OWNER-ONLY]
            unsafe { self.send(*block, class) };
        }
    }

    /// Puts another owner's block in the remote cache, and sends that off if it is
    /// full.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]; \[LIVE-PINS-SPAN\]
    unsafe fn send(&self, block: *mut u8, class: usize) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let remote_cache = &mut self.owner().remote_cache;
            if !remote_cache.ensure_array() {
                return send::send_one(block);
            }
            if remote_cache.hold(block, class) == Buffered::Full {
                self.flush_remote_cache();
            }
        }
    }

    /// Sends off what is in the remote cache.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn flush_remote_cache(&self) {
        // SAFETY: [OWNER-ONLY] by the caller; [LIVE-PINS-SPAN] for the blocks.
        unsafe {
            let owner = self.owner();
            let bytes = owner.remote_cache.send();
            owner.flows(-bytes.cast_signed());
        }
    }

    /// Once in a while: idle magazines are put away, and the remote cache of a
    /// thread that frees little goes off too.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn count_call(&self, class: usize) {
        self.heap.advance_epoch();
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let owner = self.owner();
            owner.seen[class] = ACTIVE;
            owner.calls = owner.calls.wrapping_add(1);
            if owner.calls.is_multiple_of(AGE) {
                self.age();
            }
            if owner.calls.is_multiple_of(TIDY) {
                self.owner().budget.settle();
                self.flush_remote_cache();
            }
        }
    }

    /// Gives a magazine more capacity, keeping its blocks. False if the budget
    /// or the memory does not allow it.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn resize(&self, class: usize, capacity: usize, room: Room) -> bool {
        let bin = &self.bins[class];
        let old = bin.capacity();
        let size = size_class::size(class);
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let more = (capacity - old) * size;
            let fits = match room {
                Room::Left => self.shift(class, more, FEW),
                Room::Lent => {
                    self.owner().budget.fits_or_borrows(more) || self.shift(class, more, SHIFTS)
                }
                Room::Made => self.squeeze(class, more),
            };
            if !fits {
                return false;
            }
            let (array, bytes) = bin.array();
            let needed = metadata::slot((capacity + 1) * size_of::<Slot>());
            if needed > bytes {
                let Some(new) = self.owner().tail.get(needed) else { return false };
                let new = new.as_ptr().cast::<Slot>();
                let len = bin.len();
                ptr::copy_nonoverlapping(bin.first(), new.add(1), len);
                bin.set_array(new, needed);
                bin.set_len(len);
                if let Some(array) = NonNull::new(array).filter(|_| bytes != 0) {
                    self.owner().tail.put(array.cast(), bytes);
                }
            }
            bin.set_capacity(capacity);
            self.owner().budget.charge(more);
            true
        }
    }

    /// Makes so many bytes of the budget free for a class, if others' magazines
    /// are not full. Says whether it could. What counts is then what magazines
    /// hold, not what each once held.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn shift(&self, class: usize, bytes: usize, looks: usize) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller.
        let owner = unsafe { self.owner() };
        for _ in 0..looks {
            if owner.budget.fits(bytes) {
                return true;
            }
            owner.victim = if owner.victim == 0 { CLASSES - 1 } else { owner.victim - 1 };
            let bin = &self.bins[owner.victim];
            // Half of it: there may be a burst under way.
            let unused = bin.unused() / 2;
            if unused != 0 && ![class, owner.filling].contains(&owner.victim) {
                bin.lower_capacity(unused);
                owner.budget.credit(unused * size_class::size(owner.victim));
            }
        }
        owner.budget.fits(bytes)
    }

    /// Makes so many bytes of the budget free for a class, if others' larger
    /// magazines can do with half. Says whether it could.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn squeeze(&self, class: usize, bytes: usize) -> bool {
        // SAFETY: [OWNER-ONLY] by the caller, here and below.
        unsafe {
            for _ in 0..CLASSES {
                if self.owner().budget.fits(bytes) {
                    return true;
                }
                let other = self.owner().victim;
                self.owner().victim = (other + 1) % CLASSES;
                let held = self.bins[other].capacity() * size_class::size(other);
                if other != class && held > 2 * bytes {
                    self.halve(other);
                }
            }
            self.owner().budget.fits(bytes)
        }
    }

    /// Gives up half of a magazine's capacity, and the blocks above it.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn halve(&self, class: usize) {
        let bin = &self.bins[class];
        let capacity = bin.capacity();
        let half = capacity / 2;
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            if half == 0 {
                return self.discard(class);
            }
            self.flush(class, bin.len().saturating_sub(half));
            bin.set_capacity(half);
            self.owner().budget.credit((capacity - half) * size_class::size(class));
        }
    }

    /// Puts the magazine that the clock points at away if nothing happened in
    /// it since the clock last came by.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn age(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let owner = self.owner();
            let class = owner.clock;
            owner.clock = (class + 1) % CLASSES;
            let bin = &self.bins[class];
            let len = (bin.len() % usize::from(ACTIVE)) as u8;
            if owner.seen[class] != len {
                owner.seen[class] = len;
            } else if bin.capacity() != 0 {
                self.discard(class);
            }
        }
    }

    /// Puts a whole magazine away, its array too.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    unsafe fn discard(&self, class: usize) {
        let bin = &self.bins[class];
        let capacity = bin.capacity();
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.flush(class, bin.len());
            let (array, bytes) = bin.array();
            bin.unset_array();
            if let Some(array) = NonNull::new(array).filter(|_| bytes != 0) {
                self.owner().tail.put(array.cast(), bytes);
            }
            self.owner().budget.credit(capacity * size_class::size(class));
        }
    }

    /// Asks the thread to put away what it keeps, at its next free. Anybody may.
    pub(crate) fn ask_to_tidy(&self) {
        self.view.invalidate();
    }

    /// Puts away all that the thread keeps, if it keeps anything.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(crate) unsafe fn idle(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            let owner = self.owner();
            if !owner.budget.is_untouched() || !owner.remote_cache.is_empty() {
                self.tidy();
            }
        }
    }

    /// Puts away all that the thread keeps.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    #[cold]
    pub(crate) unsafe fn tidy(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            for class in 0..CLASSES {
                self.discard(class);
            }
            self.owner().budget.settle();
            self.flush_remote_cache();
            self.owner().tell_flow();
        }
    }

    /// Ends a thread's use of the cache: everything goes where others find
    /// it, the spans to the arena. The thread allocates without it from now on.
    ///
    /// # Safety
    /// \[OWNER-ONLY\]
    pub(crate) unsafe fn end(&self) {
        // SAFETY: [OWNER-ONLY] by the caller.
        unsafe {
            self.tidy();
            let owner = self.owner();
            owner.remote_cache.free_array();
            let batches = span_transfer::abandon(self.heap, &arena::get(self.shard()).heap);
            owner.remote_cache.batches.recycle(batches);
            owner.remote_cache.batches.empty();
        }
    }

    /// Blocks of a class in the magazine.
    pub(crate) fn cached(&self, class: usize) -> usize {
        // One that ended, and whose memory went back, reads as anything.
        Some(self.bins[class].len()).filter(|len| *len <= MAX_MAGAZINE_BLOCKS).unwrap_or(0)
    }
}

/// At least a cache line of blocks, or as many lines as these fill evenly.
fn first_capacity(class: usize) -> usize {
    let even = size_class::even(class);
    let most = if even > FIRST { 2 * even - 1 } else { FIRST };
    (FIRST_BYTES / size_class::size(class)).clamp(1, most)
}

/// Blocks that a thread's first magazine of a class is filled with. Then it gets
/// as many as it had before: one that needs a few blocks should not lie scattered
/// among thousands that others like it got and do not use.
fn first_fill(class: usize) -> usize {
    (FIRST_FILL / size_class::size(class)).clamp(size_class::even(class), REFILL)
}

fn refill_capacity(class: usize) -> usize {
    (REFILL_BYTES / size_class::size(class)).clamp(1, REFILL).max(first_capacity(class))
}

fn max_capacity(class: usize) -> usize {
    (MAX_MAGAZINE_BYTES / size_class::size(class)).clamp(1, MAX_MAGAZINE_BLOCKS)
}

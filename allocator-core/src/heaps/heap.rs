//! A heap owns spans. Each thread cache has one, and so does each arena. It
//! consists of a lock, a remote queue, and lists of spans: per class a partial
//! list of those with free blocks, and one full list.
//!
//! ```text
//!  any thread                      holder of the lock
//!  block ──► remote queue ──(drain)──► bits of spans ──(take)──► magazine
//!                                      │ partial[class] ⇄ full
//!                                      └► empty: off the heap, granules go back
//! ```
//!
//! \[HEAP-LOCKED\] A span's body is touched only under the lock of the heap
//! that the span names. A span changes heaps under the lock of the old heap,
//! as the last step. So a thread that holds a heap's lock and finds that heap
//! in a span may touch the span.

use core::mem::offset_of;
use core::ptr::{self, NonNull};

use crate::base::directory;
use crate::base::geometry::{ARENA_IDS, UNIT};
use crate::base::lock::{Lock, LockGuard};
use crate::base::ordering;
use crate::base::size_class::{self, CLASSES, SHAPES};
use crate::base::sync::{self, AtomicU32, Guarded};
use crate::heaps::remote_queue::{Batch, Closed, RemoteQueue};
use crate::heaps::tally::Tally;
use crate::spans::page_map;
use crate::spans::span::{Body, DetachedSpans, List, NO_HEAP, Put, Span, SpanList};
use crate::sys;

/// What contains it keeps it on cache lines of its own: other threads must not touch
/// the lines that the owner's fast paths touch.
pub(crate) struct Heap {
    /// Names this heap in spans and in the page map. Written once, before the
    /// heap is published.
    id: AtomicU32,
    /// Counts the owner's slow-path calls. Without advance, the owner is asleep.
    epoch: AtomicU32,
    /// The epoch when a thread last observed it.
    seen_epoch: AtomicU32,
    /// When `seen_epoch` was first observed, in milliseconds.
    seen_at: AtomicU32,
    pub(super) lock: Lock,
    remote_queue: RemoteQueue,
    lists: Guarded<SpanLists>,
    /// Per class: blocks that left the bitmaps here for users or magazines,
    /// less those that came back. The sum over all heaps, less the contents of
    /// magazines, is what users hold. Each count wraps; the sum is right below
    /// four billion blocks of a class.
    out: [AtomicU32; CLASSES],
    pub(crate) tally: Tally,
    /// A bit for each group of classes: whether there may be spans with free blocks. The last
    /// one: whether there may be received batches. Written under the lock, read without it.
    offers: AtomicU32,
}

/// Groups of classes that have one bit of [`Heap::offers`].
const GROUPS: usize = 25;
/// The bit for received batches.
const RECEIVED: usize = 31;

/// The spans of a heap \[HEAP-LOCKED\].
pub(super) struct SpanLists {
    pub(super) partial: [SpanList; CLASSES],
    pub(super) full: SpanList,
    /// Received batches: taken from the remote queue and not consumed yet.
    received: *mut Batch,
}

impl SpanLists {
    const fn new() -> Self {
        SpanLists {
            partial: [const { SpanList::new() }; CLASSES],
            full: SpanList::new(),
            received: ptr::null_mut(),
        }
    }
}

// SAFETY: [HEAP-LOCKED] the lists are touched only under the lock.
unsafe impl Sync for Heap {}
// SAFETY: nothing in it belongs to one thread.
unsafe impl Send for Heap {}

/// A point in time, in milliseconds, modulo 2^32.
pub(crate) type Millis = u32;

/// An owner whose epoch does not advance for this long is asleep.
const NAP: Millis = 20;

/// `put` prefetches the spans of this many blocks ahead.
const AHEAD: usize = 8;

/// The memory of a span that can go back to the system.
pub(crate) enum Purgeable {
    /// Nothing.
    No,
    /// Some, but blocks of the span were taken lately. The span qualifies if
    /// none are taken until the next call.
    Later,
    /// These units, counted from `base`. The caller has the span, detached.
    Units { base: *mut u8, units: u64 },
}

/// A heap whose lock is held.
pub(crate) struct LockedHeap<'a> {
    heap: &'a Heap,
    id: u32,
    /// Spans that lost their last live block and are already on no list.
    empty: DetachedSpans,
    _held: LockGuard<'a>,
}

impl Heap {
    /// Where its counts are, for readers outside of the process.
    pub(crate) const OFFSETS: directory::Heap = directory::Heap {
        out: offset_of!(Heap, out),
        small_blocks: offset_of!(Heap, tally.small_blocks),
        small_bytes: offset_of!(Heap, tally.small_bytes),
        large_blocks: offset_of!(Heap, tally.large_blocks),
        large_bytes: offset_of!(Heap, tally.large_bytes),
        large_freed: offset_of!(Heap, tally.large_freed),
    };
}

impl Heap {
    pub(crate) const fn new(id: u32) -> Self {
        Heap {
            id: AtomicU32::new(id),
            epoch: AtomicU32::new(0),
            seen_epoch: AtomicU32::new(0),
            seen_at: AtomicU32::new(0),
            lock: Lock::new(),
            remote_queue: RemoteQueue::new(),
            lists: Guarded::new(SpanLists::new()),
            out: [const { AtomicU32::new(0) }; CLASSES],
            tally: Tally::new(),
            offers: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.id.load(ordering::heap_id())
    }

    /// Sets the id, before the heap is published.
    pub(crate) fn set_id(&self, id: u32) {
        self.id.store(id, ordering::heap_id());
    }

    /// Locks the heap if its lock is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<LockedHeap<'_>> {
        let held = self.lock.try_lock()?;
        Some(LockedHeap { heap: self, id: self.id(), empty: DetachedSpans::new(), _held: held })
    }

    /// Waits for the lock and locks the heap. Returns `None` in a signal handler,
    /// for a heap that the interrupted code has locked.
    #[inline]
    pub(crate) fn lock(&self) -> Option<LockedHeap<'_>> {
        let held = self.lock.lock()?;
        Some(LockedHeap { heap: self, id: self.id(), empty: DetachedSpans::new(), _held: held })
    }

    /// Whether the calling thread holds the lock: in a signal handler, what it
    /// interrupted may.
    #[inline]
    pub(crate) fn is_held_here(&self) -> bool {
        self.lock.is_held_here()
    }

    /// Pushes a batch of this heap's blocks. Returns about how many batches wait.
    pub(crate) fn push(&self, batch: NonNull<Batch>) -> Result<u32, Closed> {
        self.remote_queue.push(batch)
    }

    /// Returns whether batches seem to wait.
    #[cfg(strata_loom)]
    pub(crate) fn has_batches(&self) -> bool {
        self.remote_queue.has_batches()
    }

    /// Accepts batches again, for a new owner.
    pub(crate) fn reopen(&self) {
        self.remote_queue.reopen();
    }

    /// Records that the owner is awake. For an arena: that its queue is drained.
    #[inline]
    pub(crate) fn advance_epoch(&self) {
        let epochs = self.epoch.load(ordering::heap_epoch());
        self.epoch.store(epochs.wrapping_add(1), ordering::heap_epoch());
    }

    /// Returns whether the epoch has not advanced for [`NAP`] up to `now`. The
    /// time counts from the first observation of this epoch: a thread that
    /// merely waits for a processor is not asleep.
    pub(crate) fn observe_idle(&self, now: Millis) -> bool {
        let epoch = self.epoch.load(ordering::heap_epoch());
        if self.seen_epoch.swap(epoch, ordering::heap_idle()) != epoch {
            self.seen_at.store(now, ordering::heap_idle());
            return false;
        }
        now.wrapping_sub(self.seen_at.load(ordering::heap_idle())) >= NAP
    }

    /// Counts blocks that went out to users or magazines. Called by the thread
    /// that owns the heap or, for an arena's heap, by the holder of its lock.
    #[inline]
    pub(crate) fn count_out(&self, class: usize, blocks: usize) {
        let out = self.out[class].load(ordering::heap_out());
        self.out[class].store(out.wrapping_add(blocks as u32), ordering::heap_out());
    }

    /// Counts blocks that came back. Called like [`count_out`](Self::count_out).
    #[inline]
    pub(crate) fn count_back(&self, class: usize, blocks: usize) {
        let out = self.out[class].load(ordering::heap_out());
        self.out[class].store(out.wrapping_sub(blocks as u32), ordering::heap_out());
    }

    /// Blocks of a class that went out, less those that came back, modulo 2^32.
    pub(crate) fn out(&self, class: usize) -> u32 {
        self.out[class].load(ordering::heap_out())
    }

    /// Whether the heap seems to have free blocks of a class: in its spans, or in batches. Saves
    /// taking its lock for nothing.
    #[cfg(not(strata_loom))]
    pub(crate) fn may_have(&self, class: usize) -> bool {
        self.offers(class % GROUPS) || self.offers(RECEIVED) || self.remote_queue.has_batches()
    }

    #[cfg(not(strata_loom))]
    fn offers(&self, bit: usize) -> bool {
        self.offers.load(ordering::heap_offers()) >> bit & 1 != 0
    }

    /// Sets or clears a bit of the offers. Called by the holder of the lock.
    #[cfg(not(strata_loom))]
    fn note_offer(&self, bit: usize, any: bool) {
        if self.offers(bit) != any {
            let changed = self.offers.load(ordering::heap_offers()) ^ 1 << bit;
            self.offers.store(changed, ordering::heap_offers());
        }
    }

    /// Nothing: in a model nobody asks.
    #[cfg(strata_loom)]
    fn note_offer(&self, _bit: usize, _any: bool) {}

    /// Lets the heap seem to have free blocks of all classes.
    #[cfg(not(strata_loom))]
    pub(super) fn offer_all(&self) {
        self.offers.store(u32::MAX, ordering::heap_offers());
    }

    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the holder of the lock has the lists")]
    pub(super) fn lists(&self) -> &mut SpanLists {
        // SAFETY: [HEAP-LOCKED] called only through `LockedHeap`, one at a time, and in the
        // child of a fork.
        self.lists.with(|lists| unsafe { &mut *lists })
    }
}

impl LockedHeap<'_> {
    /// Takes up to `want` free blocks of a class and stores them downwards from
    /// `end`. Returns how many. From an arena's spans, threads that take in turn
    /// get whole cache lines where possible, so that they do not write to the
    /// same line.
    ///
    /// # Safety
    /// `want` slots below `end` are the caller's to write.
    pub(crate) unsafe fn take(&mut self, class: usize, end: *mut *mut u8, want: usize) -> usize {
        let group = if self.id <= ARENA_IDS { size_class::line_group(class) } else { 1 };
        let mut got = 0;
        while got < want {
            let Some(span) = NonNull::new(self.heap.lists().partial[class].head) else { break };
            // SAFETY: [HEAP-LOCKED] the span is on our list; the caller owns
            // the slots.
            unsafe {
                let full = span.as_ref().body(|body| {
                    let holes = body.holes();
                    got += body.take(end.sub(got), want - got, group);
                    if holes != body.holes() {
                        self.empty.note_filled(holes & !body.holes());
                    }
                    body.free == 0
                });
                if !full {
                    break;
                }
                self.remove_partial(class, span);
                self.heap.lists().full.push(span);
                span.as_ref().body(|body| body.list = List::Full);
            }
        }
        got
    }

    /// Returns blocks to their spans. Blocks whose span has another heap are
    /// not returned but moved to the front of `blocks`. Returns how many.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\] The blocks are small ones of ours, freed, and in no
    /// other place than this slice.
    pub(crate) unsafe fn put(&mut self, blocks: &mut [*mut u8]) -> usize {
        let (mut strangers, mut at) = (0, 0);
        // The spans of the next blocks, prefetched into the cache.
        let mut ahead = [NonNull::dangling(); AHEAD];
        let mut seen = 0;
        while let Some(&block) = blocks.get(at) {
            seen = seen.max(at);
            while seen < blocks.len().min(at + AHEAD) {
                let span = page_map::span_of(blocks[seen]);
                page_map::prefetch_span(span);
                ahead[seen % AHEAD] = span;
                seen += 1;
            }
            let span = ahead[at % AHEAD];
            // SAFETY: [LIVE-PINS-SPAN] the block is still out, so its span is in
            // use.
            let span_ref = unsafe { span.as_ref() };
            if span_ref.heap() != self.id && sync::step("put_checks_heap") {
                blocks[strangers] = block;
                strangers += 1;
                at += 1;
                continue;
            }
            // SAFETY: [HEAP-LOCKED] the span names this heap.
            let ((count, put), list, class) = unsafe {
                span_ref.body(|body| (body.put(&blocks[at..]), body.list, body.class as usize))
            };
            at += count;
            if put != Put::Kept && list != List::Detached {
                self.relist(span, put, list, class);
            }
        }
        strangers
    }

    /// Relists a span that has its first free block, or all blocks free.
    fn relist(&mut self, span: NonNull<Span>, put: Put, list: List, class: usize) {
        let lists = self.heap.lists();
        // SAFETY: [HEAP-LOCKED] the span names this heap and is on that list.
        unsafe {
            match list {
                List::Full => lists.full.remove(span),
                _ => self.remove_partial(class, span),
            }
            if put == Put::Emptied {
                span.as_ref().body(|body| body.list = List::Detached);
                self.empty.push(span);
            } else {
                self.push_partial(class, span);
                span.as_ref().body(|body| body.list = List::Partial);
            }
        }
    }

    /// # Safety
    /// \[HEAP-LOCKED\] The span names this heap, and is on no list.
    unsafe fn push_partial(&mut self, class: usize, span: NonNull<Span>) {
        // SAFETY: [HEAP-LOCKED] by the caller.
        unsafe { self.heap.lists().partial[class].push(span) };
        self.heap.note_offer(class % GROUPS, true);
    }

    /// # Safety
    /// \[HEAP-LOCKED\] The span names this heap, and is on this list.
    unsafe fn remove_partial(&mut self, class: usize, span: NonNull<Span>) {
        let partial = &mut self.heap.lists().partial;
        // SAFETY: [HEAP-LOCKED] by the caller.
        unsafe { partial[class].remove(span) };
        if partial[class].head.is_null() {
            let group = class % GROUPS;
            let any = partial.iter().skip(group).step_by(GROUPS).any(|list| !list.head.is_null());
            self.heap.note_offer(group, any);
        }
    }

    /// Whether the heap has no full span, and of each class one with free blocks at most.
    pub(crate) fn is_small(&self) -> bool {
        let lists = self.heap.lists();
        let is_short = |list: &SpanList| {
            // SAFETY: [HEAP-LOCKED] the span is on our list.
            NonNull::new(list.head)
                .is_none_or(|span| unsafe { span.as_ref().body(|b| b.is_alone()) })
        };
        lists.full.head.is_null() && lists.partial.iter().all(is_short)
    }

    /// Takes the next received batch, for the caller to consume.
    #[inline]
    pub(crate) fn next_received(&mut self) -> Option<NonNull<Batch>> {
        let lists = self.heap.lists();
        if lists.received.is_null() {
            lists.received = self.heap.remote_queue.take_all();
        }
        let received = NonNull::new(lists.received)?;
        // SAFETY: [BATCH-ONE-PLACE] a heap's received batches are the lock holder's.
        lists.received = unsafe { received.as_ref().with(|contents| contents.next) };
        self.heap.note_offer(RECEIVED, !lists.received.is_null());
        sys::prefetch(lists.received.cast());
        Some(received)
    }

    /// Takes all batches and returns their blocks to the spans. Returns the
    /// batches; the blocks left in them now belong to other heaps.
    pub(crate) fn drain(&mut self) -> *mut Batch {
        let new = self.heap.remote_queue.take_all();
        self.put_all_received(new)
    }

    /// Like [`drain`](Self::drain), and refuses batches from now on.
    pub(crate) fn close_remote_queue(&mut self) -> *mut Batch {
        let new = self.heap.remote_queue.close();
        self.put_all_received(new)
    }

    /// Returns the blocks of new and received batches to their spans.
    fn put_all_received(&mut self, new: *mut Batch) -> *mut Batch {
        let mut all = new;
        while let Some(received) = NonNull::new(self.heap.lists().received) {
            // SAFETY: [BATCH-ONE-PLACE] as in `next_received`.
            self.heap.lists().received = unsafe {
                received.as_ref().with(|contents| core::mem::replace(&mut contents.next, all))
            };
            all = received.as_ptr();
        }
        self.heap.note_offer(RECEIVED, false);
        self.put_batches(all);
        all
    }

    /// Returns the blocks of the caller's list of batches to their spans. The
    /// blocks left in the batches now belong to other heaps.
    pub(crate) fn put_batches(&mut self, mut batches: *mut Batch) {
        while let Some(batch) = NonNull::new(batches) {
            // SAFETY: [BATCH-ONE-PLACE] we took the batch. [LIVE-PINS-SPAN] its
            // blocks are still out.
            unsafe {
                batch.as_ref().with(|contents| {
                    let len = contents.len;
                    contents.len = self.put(&mut contents.blocks[..len]);
                    batches = contents.next;
                });
            }
        }
    }

    /// Puts a detached span that names this heap on its list.
    ///
    /// # Safety
    /// The span names this heap, and this thread holds it detached.
    pub(crate) unsafe fn adopt(&mut self, span: NonNull<Span>) {
        let lists = self.heap.lists();
        // SAFETY: [HEAP-LOCKED] by the caller.
        unsafe {
            let (class, free) = span.as_ref().body(|body| (body.class as usize, body.free));
            let list = if free == 0 { List::Full } else { List::Partial };
            match list {
                List::Full => lists.full.push(span),
                _ => self.push_partial(class, span),
            }
            span.as_ref().body(|body| body.list = list);
        }
    }

    /// Like [`adopt`](Self::adopt), but releases an empty span.
    ///
    /// # Safety
    /// As for [`adopt`](Self::adopt).
    pub(crate) unsafe fn adopt_or_release(&mut self, span: NonNull<Span>) {
        // SAFETY: [HEAP-LOCKED] by the caller.
        unsafe {
            let emptied = span
                .as_ref()
                .body(|body| u32::from(body.free) == SHAPES[body.class as usize].blocks);
            if emptied {
                self.empty.push(span);
            } else {
                self.adopt(span);
            }
        }
    }

    /// Free bytes of a span, holes included. `None` if it has another heap.
    pub(crate) fn free_bytes(&self, span: &Span) -> Option<usize> {
        // SAFETY: [HEAP-LOCKED] the span names this heap.
        (span.heap() == self.id).then(|| unsafe { span.body(|body| body.free_bytes()) })
    }

    /// Bytes of a span in whole pages, of `page` units each, without a live block. `None` if it
    /// has another heap.
    pub(crate) fn purgeable_bytes(&self, span: &Span, page: usize) -> Option<usize> {
        let bytes = |body: &mut Body| body.purgeable_units(page).count_ones() as usize * UNIT;
        // SAFETY: [HEAP-LOCKED] the span names this heap.
        (span.heap() == self.id).then(|| unsafe { span.body(bytes) })
    }

    /// Makes a span record from now on whether a block is taken there.
    pub(crate) fn start_watching(&self, span: &Span) {
        if span.heap() == self.id {
            // SAFETY: [HEAP-LOCKED] the span names this heap.
            unsafe { span.body(Body::reset_taken) };
        }
    }

    /// Detaches a span that has memory to purge: whole pages, of `page` units
    /// each, without a live block. With `rested`, only if no block was taken
    /// there since the last call.
    pub(crate) fn detach_purgeable(
        &mut self,
        span: NonNull<Span>,
        page: usize,
        rested: bool,
    ) -> Purgeable {
        // SAFETY: spans are never freed.
        let span_ref = unsafe { span.as_ref() };
        if span_ref.heap() != self.id && sync::step("purge_checks_heap") {
            return Purgeable::No;
        }
        // SAFETY: [HEAP-LOCKED] the span names this heap.
        let purgeable_units = unsafe {
            span_ref.body(|body| match body.list {
                List::Partial => match body.purgeable_units(page) {
                    0 => Purgeable::No,
                    _ if body.reset_taken() && rested => Purgeable::Later,
                    units => Purgeable::Units { base: body.base, units },
                },
                _ => Purgeable::No,
            })
        };
        if matches!(purgeable_units, Purgeable::Units { .. }) && sync::step("purge_detaches") {
            self.detach(span);
        }
        purgeable_units
    }

    /// Reattaches a span of [`detach_purgeable`](Self::detach_purgeable) of which
    /// `units` are holes now. If the heap was closed meanwhile, moves the span to
    /// the heap `to` instead and returns it, still detached.
    ///
    /// # Safety
    /// The caller holds the span detached, and the span names this heap.
    pub(crate) unsafe fn reattach_purged(
        &mut self,
        span: NonNull<Span>,
        units: u64,
        to: u32,
    ) -> DetachedSpans {
        let mut detached = DetachedSpans::new();
        // SAFETY: [HEAP-LOCKED] by the caller.
        unsafe {
            span.as_ref().body(|body| body.note_holes(units));
            if self.heap.remote_queue.is_closed() {
                detached.push(span);
                set_heap_of(span, to);
            } else {
                self.adopt_or_release(span);
            }
        }
        detached
    }

    /// Detaches one span with free blocks of a class and moves it to the heap
    /// `to`. The caller holds it detached until it is adopted there.
    pub(crate) fn transfer_one(&mut self, class: usize, to: u32) -> Option<NonNull<Span>> {
        let span = NonNull::new(self.heap.lists().partial[class].head)?;
        self.detach(span);
        set_heap_of(span, to);
        Some(span)
    }

    /// Detaches a sparse span and moves it to the heap `to`, if another of its class with free
    /// blocks stays. Returns its loose bytes.
    pub(crate) fn evict(
        &mut self,
        span: NonNull<Span>,
        to: u32,
        detached: &mut DetachedSpans,
    ) -> Option<usize> {
        // SAFETY: spans are never freed.
        let span_ref = unsafe { span.as_ref() };
        if span_ref.heap() != self.id && sync::step("evict_checks_heap") {
            return None;
        }
        // SAFETY: [HEAP-LOCKED] the span names this heap.
        let loose = unsafe {
            span_ref.body(|body| {
                let is_spare = body.list == List::Partial && !body.is_alone() && body.is_sparse();
                is_spare.then(|| body.loose_bytes())
            })
        }?;
        self.detach(span);
        // SAFETY: [HEAP-LOCKED] on no list, and still of this heap.
        unsafe { detached.push(span) };
        set_heap_of(span, to);
        Some(loose)
    }

    /// Moves the spans with free blocks of a class to the heap `to`.
    pub(crate) fn transfer_class(&mut self, class: usize, to: u32, detached: &mut DetachedSpans) {
        while let Some(span) = NonNull::new(self.heap.lists().partial[class].head) {
            self.detach(span);
            // SAFETY: [HEAP-LOCKED] on no list, and still of this heap.
            unsafe { detached.push(span) };
            set_heap_of(span, to);
        }
    }

    /// Moves all spans, the full ones too, to the heap `to`.
    pub(crate) fn transfer_all(&mut self, to: u32, detached: &mut DetachedSpans) {
        for class in 0..CLASSES {
            self.transfer_class(class, to, detached);
        }
        while let Some(span) = NonNull::new(self.heap.lists().full.head) {
            self.detach(span);
            // SAFETY: as above.
            unsafe { detached.push(span) };
            set_heap_of(span, to);
        }
    }

    fn detach(&mut self, span: NonNull<Span>) {
        let lists = self.heap.lists();
        // SAFETY: [HEAP-LOCKED] the span is on one of our lists.
        unsafe {
            let (class, list) = span.as_ref().body(|body| (body.class as usize, body.list));
            match list {
                List::Full => lists.full.remove(span),
                _ => self.remove_partial(class, span),
            }
            span.as_ref().body(|body| body.list = List::Detached);
        }
    }

    /// Releases the lock. The caller owns the emptied spans now and must give
    /// their granules back to the chunks.
    #[must_use = "empty spans hold memory"]
    pub(crate) fn unlock(self) -> DetachedSpans {
        self.empty
    }
}

/// Moves a span to another heap: stores the entries first and the heap last.
/// After that the caller may not touch the span.
fn set_heap_of(span: NonNull<Span>, to: u32) {
    // SAFETY: [HEAP-LOCKED] the caller holds the lock of the present heap.
    unsafe {
        if sync::step("set_heap_publishes") {
            span.as_ref().body(|body: &mut Body| page_map::publish_owner(body, to));
        }
        span.as_ref().set_heap(to);
    }
}

/// Makes a span of `class` at `base` with all blocks free and the heap `to`. It
/// is on no list yet.
///
/// # Safety
/// The caller has claimed the span's granules; `long` is as for
/// [`Body::carve`].
pub(crate) unsafe fn init_span(
    span: NonNull<Span>,
    class: usize,
    base: *mut u8,
    long: *mut u64,
    to: u32,
) {
    // SAFETY: [HEAP-LOCKED] the thread that claimed the granules has the span.
    unsafe {
        span.as_ref().body(|body| {
            body.carve(class, base, long);
            page_map::publish_owner(body, to);
        });
        span.as_ref().set_heap(to);
    }
}

/// Retires an emptied span; its granules may be given back after this. Returns
/// its address, its bytes, and the number of units that are holes.
///
/// # Safety
/// The span came out of [`LockedHeap::unlock`].
pub(crate) unsafe fn clear_owner(span: NonNull<Span>) -> (*mut u8, usize, usize) {
    // SAFETY: only this thread has the span, and all its blocks are free.
    unsafe {
        let place = span.as_ref().body(|body| {
            page_map::publish_owner(body, NO_HEAP);
            (body.base, body.bytes(), body.holes().count_ones() as usize)
        });
        span.as_ref().set_heap(NO_HEAP);
        place
    }
}

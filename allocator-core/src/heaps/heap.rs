//! A home: what spans belong to. A thread cache has one, an arena is one. A
//! lock, an inbox, and the spans on shelves: for each class those with free
//! blocks, and one list of the full ones.
//!
//! ```text
//!            anybody              the holder of the lock
//!  block ──► inbox ──(drain)──► bits of spans ──(take)──► magazine
//!                                 │ partial[class] ⇄ full
//!                                 └► empty: out of the home, granules go back
//! ```
//!
//! \[HOME-LOCKED\] A span's body is touched only under the lock of the home
//! that the span names. A span changes homes under the lock of the old one,
//! as the last thing done to it; so whoever holds a lock and finds its home in
//! a span holds the span.

use core::ptr::{self, NonNull};

use crate::base::lock::{Held, Lock};
use crate::base::ordering;
use crate::base::size_class::{self, CLASSES, SHAPES};
use crate::base::sync::{self, AtomicU32, Guarded};
use crate::heaps::remote_queue::{Closed, Inbox, MailBox};
use crate::spans::page_map;
use crate::spans::span::{Body, Hand, NO_HOME, Put, Shelf, Span, SpanList};
use crate::sys;

/// On cache lines of its own: what others touch is not what the owner's fast
/// paths touch.
#[repr(align(64))]
pub(crate) struct Home {
    /// Names this home in spans and in the map. Written once, before others
    /// know of the home.
    id: AtomicU32,
    /// Counts what the owner does; one who counts no further is asleep.
    pulse: AtomicU32,
    /// The pulse when somebody last felt it.
    felt: AtomicU32,
    /// Since when it was felt to be just that, in milliseconds.
    felt_at: AtomicU32,
    lock: Lock,
    inbox: Inbox,
    shelves: Guarded<Shelves>,
    /// Per class: blocks that left the bitmaps here for users or magazines,
    /// less those that came back from them. Summed over all homes (and less
    /// what magazines hold) this is what users have. Each wraps; the sum of
    /// all is right, below four billion blocks of a class.
    out: [AtomicU32; CLASSES],
}

/// The spans of a home \[HOME-LOCKED\].
struct Shelves {
    partial: [SpanList; CLASSES],
    full: SpanList,
    /// Mail that was taken out of the inbox, to be read box by box.
    letters: *mut MailBox,
}

impl Shelves {
    const fn new() -> Self {
        Shelves {
            partial: [const { SpanList::new() }; CLASSES],
            full: SpanList::new(),
            letters: ptr::null_mut(),
        }
    }
}

// SAFETY: [HOME-LOCKED] the shelves are touched only under the lock.
unsafe impl Sync for Home {}
// SAFETY: nothing in it belongs to one thread.
unsafe impl Send for Home {}

/// Ids of arenas' homes: 1 up to and including this one. Those above are threads'.
pub(crate) const ARENA_IDS: u32 = 16;

/// A moment, modulo 2^32.
pub(crate) type Millis = u32;

/// Who does nothing for so long is asleep.
const NAP: Millis = 20;

/// For so many blocks that are put away, spans are fetched ahead.
const AHEAD: usize = 8;

/// What of a span can go back to the system.
pub(crate) enum Hollow {
    /// Nothing.
    No,
    /// Something, but blocks of the span were taken lately: if none are until
    /// this is asked again.
    Later,
    /// These units, counted from `base`. The span is in the caller's hand.
    Units { base: *mut u8, units: u64 },
}

/// A home whose lock is held.
pub(crate) struct Open<'a> {
    home: &'a Home,
    id: u32,
    /// Spans that lost their last live block, out of the home already.
    empty: Hand,
    _held: Held<'a>,
}

impl Home {
    #[cfg(not(strata_loom))]
    pub(crate) const fn new(id: u32) -> Self {
        Home {
            id: AtomicU32::new(id),
            pulse: AtomicU32::new(0),
            felt: AtomicU32::new(0),
            felt_at: AtomicU32::new(0),
            lock: Lock::new(),
            inbox: Inbox::new(),
            shelves: Guarded::new(Shelves::new()),
            out: [const { AtomicU32::new(0) }; CLASSES],
        }
    }

    #[cfg(strata_loom)]
    pub(crate) fn new(id: u32) -> Self {
        Home {
            id: AtomicU32::new(id),
            pulse: AtomicU32::new(0),
            felt: AtomicU32::new(0),
            felt_at: AtomicU32::new(0),
            lock: Lock::new(),
            inbox: Inbox::new(),
            shelves: Guarded::new(Shelves::new()),
            out: core::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.id.load(ordering::hint())
    }

    /// Opens the home if its lock is free.
    #[inline]
    pub(crate) fn try_open(&self) -> Option<Open<'_>> {
        let held = self.lock.try_take()?;
        Some(Open { home: self, id: self.id(), empty: Hand::new(), _held: held })
    }

    /// Opens the home, waiting for its lock. `None` only in the child of a
    /// fork, for a home that was lost with the thread that had it open.
    #[inline]
    pub(crate) fn open(&self) -> Option<Open<'_>> {
        let held = self.lock.take()?;
        Some(Open { home: self, id: self.id(), empty: Hand::new(), _held: held })
    }

    /// Posts a box of this home's blocks. Returns about how many wait.
    pub(crate) fn post(&self, mail: NonNull<MailBox>) -> Result<u32, Closed> {
        self.inbox.post(mail)
    }

    /// Whether mail seems to wait.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.inbox.has_mail()
    }

    /// Takes mail again, for a new owner.
    pub(crate) fn reopen(&self) {
        self.inbox.reopen();
    }

    /// Notes that the owner is awake; of an arena, that its mail is read.
    #[inline]
    pub(crate) fn beat(&self) {
        let beats = self.pulse.load(ordering::owner());
        self.pulse.store(beats.wrapping_add(1), ordering::owner());
    }

    /// Whether the owner did nothing for a while, up to `now`. It counts from
    /// when this was first asked: a thread that merely waits for a processor
    /// is not asleep.
    pub(crate) fn sleeps(&self, now: Millis) -> bool {
        let pulse = self.pulse.load(ordering::hint());
        if self.felt.swap(pulse, ordering::hint()) != pulse {
            self.felt_at.store(now, ordering::hint());
            return false;
        }
        now.wrapping_sub(self.felt_at.load(ordering::hint())) >= NAP
    }

    /// Counts blocks that went out to users or magazines. Called by the thread
    /// whose home it is, or, for an arena's, by the holder of its lock.
    #[inline]
    pub(crate) fn count_out(&self, class: usize, blocks: usize) {
        let out = self.out[class].load(ordering::owner());
        self.out[class].store(out.wrapping_add(blocks as u32), ordering::owner());
    }

    /// Counts blocks that came back from there. Called as [`count_out`](Self::count_out).
    #[inline]
    pub(crate) fn count_back(&self, class: usize, blocks: usize) {
        let out = self.out[class].load(ordering::owner());
        self.out[class].store(out.wrapping_sub(blocks as u32), ordering::owner());
    }

    /// Blocks of a class that went out, less those that came back, modulo 2^32.
    pub(crate) fn out(&self, class: usize) -> u32 {
        self.out[class].load(ordering::count())
    }

    /// In the child of a fork: if a vanished thread had this home open, its
    /// spans are lost. Says so.
    #[cfg(not(strata_loom))]
    pub(crate) fn bury_if_orphaned(&self) -> bool {
        let orphaned = self.lock.is_orphaned();
        if orphaned {
            self.lock.bury();
        }
        orphaned
    }

    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the holder of the lock has the shelves")]
    fn shelves(&self) -> &mut Shelves {
        // SAFETY: [HOME-LOCKED] called through `Open` only, one at a time.
        self.shelves.with(|shelves| unsafe { &mut *shelves })
    }
}

impl Open<'_> {
    /// Takes up to `want` free blocks of a class, storing them downwards from
    /// `end`. Returns how many. From an arena's spans, threads that take in turn
    /// get whole cache lines, where there are such: neighbours are not to write
    /// to one line.
    ///
    /// # Safety
    /// `want` slots below `end` are the caller's to write.
    pub(crate) unsafe fn take(&mut self, class: usize, end: *mut *mut u8, want: usize) -> usize {
        let shelves = self.home.shelves();
        let even = if self.id <= ARENA_IDS { size_class::even(class) } else { 1 };
        let mut got = 0;
        while got < want {
            let Some(span) = NonNull::new(shelves.partial[class].head) else { break };
            // SAFETY: [HOME-LOCKED] the span is on our shelf; the slots are
            // the caller's.
            unsafe {
                let full = span.as_ref().body(|body| {
                    let holes = body.holes();
                    got += body.take(end.sub(got), want - got, even);
                    if holes != body.holes() {
                        self.empty.note_filled(holes & !body.holes());
                    }
                    body.free == 0
                });
                if !full {
                    break;
                }
                shelves.partial[class].remove(span);
                shelves.full.push(span);
                span.as_ref().body(|body| body.shelf = Shelf::Full);
            }
        }
        got
    }

    /// Puts blocks back into their spans. Those whose span has another home
    /// are moved to the front of `blocks`, untouched; returns how many.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\] The blocks are small ones of ours, free, and in no
    /// other place than this slice.
    pub(crate) unsafe fn put(&mut self, blocks: &mut [*mut u8]) -> usize {
        let (mut strangers, mut at) = (0, 0);
        // The spans of the next blocks, which are on their way to the cache.
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
            // SAFETY: [LIVE-PINS-SPAN] the block is still out, so its span is
            // in use.
            let span_ref = unsafe { span.as_ref() };
            if span_ref.home() != self.id && sync::step("put_checks_home") {
                blocks[strangers] = block;
                strangers += 1;
                at += 1;
                continue;
            }
            // SAFETY: [HOME-LOCKED] the span names this home.
            let ((count, put), shelf, class) = unsafe {
                span_ref.body(|body| (body.put(&blocks[at..]), body.shelf, body.class as usize))
            };
            at += count;
            if put != Put::Kept && shelf != Shelf::InHand {
                self.reshelve(span, put, shelf, class);
            }
        }
        strangers
    }

    /// A span that got its first free block, or its last one.
    fn reshelve(&mut self, span: NonNull<Span>, put: Put, shelf: Shelf, class: usize) {
        let shelves = self.home.shelves();
        // SAFETY: [HOME-LOCKED] the span names this home and is on that shelf.
        unsafe {
            match shelf {
                Shelf::Full => shelves.full.remove(span),
                _ => shelves.partial[class].remove(span),
            }
            if put == Put::Emptied {
                span.as_ref().body(|body| body.shelf = Shelf::InHand);
                self.empty.push(span);
            } else {
                shelves.partial[class].push(span);
                span.as_ref().body(|body| body.shelf = Shelf::Partial);
            }
        }
    }

    /// Takes the next box of mail out, to be read by the caller.
    #[inline]
    pub(crate) fn letter(&mut self) -> Option<NonNull<MailBox>> {
        let shelves = self.home.shelves();
        if shelves.letters.is_null() {
            shelves.letters = self.home.inbox.take_all();
        }
        let letter = NonNull::new(shelves.letters)?;
        // SAFETY: [BOX-ONE-PLACE] boxes on a home's list are the lock holder's.
        shelves.letters = unsafe { letter.as_ref().open(|contents| contents.next) };
        sys::prefetch(shelves.letters.cast());
        Some(letter)
    }

    /// Puts away all mail. Returns the boxes; what is left in them belongs
    /// elsewhere by now.
    pub(crate) fn drain(&mut self) -> *mut MailBox {
        let new = self.home.inbox.take_all();
        self.sort_all(new)
    }

    /// As [`drain`](Self::drain), and refuses mail from now on.
    pub(crate) fn close_inbox(&mut self) -> *mut MailBox {
        let new = self.home.inbox.close();
        self.sort_all(new)
    }

    /// Puts away new mail, and what was to be read.
    fn sort_all(&mut self, new: *mut MailBox) -> *mut MailBox {
        let mut all = new;
        while let Some(letter) = NonNull::new(self.home.shelves().letters) {
            // SAFETY: [BOX-ONE-PLACE] as in `letter`.
            self.home.shelves().letters = unsafe {
                letter.as_ref().open(|contents| core::mem::replace(&mut contents.next, all))
            };
            all = letter.as_ptr();
        }
        self.sort(all);
        all
    }

    /// Puts away what is in a list of boxes, in the caller's hands. What is
    /// left in them belongs elsewhere by now.
    pub(crate) fn sort(&mut self, mut mail: *mut MailBox) {
        while let Some(box_) = NonNull::new(mail) {
            // SAFETY: [BOX-ONE-PLACE] we took it. [LIVE-PINS-SPAN] blocks in
            // the mail are still out.
            unsafe {
                box_.as_ref().open(|contents| {
                    let len = contents.len;
                    contents.len = self.put(&mut contents.blocks[..len]);
                    mail = contents.next;
                });
            }
        }
    }

    /// Puts a span that has this home, but is on no shelf, on its shelf.
    ///
    /// # Safety
    /// The span names this home and came to this thread's hands.
    pub(crate) unsafe fn adopt(&mut self, span: NonNull<Span>) {
        let shelves = self.home.shelves();
        // SAFETY: [HOME-LOCKED] by the caller.
        unsafe {
            let (class, free) = span.as_ref().body(|body| (body.class as usize, body.free));
            let shelf = if free == 0 { Shelf::Full } else { Shelf::Partial };
            match shelf {
                Shelf::Full => shelves.full.push(span),
                _ => shelves.partial[class].push(span),
            }
            span.as_ref().body(|body| body.shelf = shelf);
        }
    }

    /// As [`adopt`](Self::adopt), but an empty one is let go.
    ///
    /// # Safety
    /// As there.
    pub(crate) unsafe fn adopt_or_retire(&mut self, span: NonNull<Span>) {
        // SAFETY: [HOME-LOCKED] by the caller.
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

    /// Bytes of a span that are free, holes too. `None`: it is not of this home.
    pub(crate) fn free_bytes(&self, span: &Span) -> Option<usize> {
        // SAFETY: [HOME-LOCKED] the span names this home.
        (span.home() == self.id).then(|| unsafe { span.body(|body| body.free_bytes()) })
    }

    /// Has a span note from now on whether blocks are taken there.
    pub(crate) fn watch(&self, span: &Span) {
        if span.home() == self.id {
            // SAFETY: [HOME-LOCKED] the span names this home.
            unsafe { span.body(Body::rests) };
        }
    }

    /// Takes a span in hand that has memory to give back: whole pages, of `page`
    /// units each, without a live block. With `rested`, only if no block was taken
    /// there since this was last asked.
    pub(crate) fn take_hollow(&mut self, span: NonNull<Span>, page: usize, rested: bool) -> Hollow {
        // SAFETY: spans are never freed.
        let span_ref = unsafe { span.as_ref() };
        if span_ref.home() != self.id && sync::step("hollow_checks_home") {
            return Hollow::No;
        }
        // SAFETY: [HOME-LOCKED] the span names this home.
        let hollow = unsafe {
            span_ref.body(|body| match body.shelf {
                Shelf::Partial => match body.hollow(page) {
                    0 => Hollow::No,
                    _ if !body.rests() && rested => Hollow::Later,
                    units => Hollow::Units { base: body.base, units },
                },
                _ => Hollow::No,
            })
        };
        if matches!(hollow, Hollow::Units { .. }) && sync::step("hollow_in_hand") {
            self.unshelve(span);
        }
        hollow
    }

    /// Puts a span of [`take_hollow`](Self::take_hollow) back, of which `units`
    /// are holes now. If the home was closed meanwhile, the span gets the home
    /// `to`, and is in the caller's hand still.
    ///
    /// # Safety
    /// The span is in the caller's hand, and names this home.
    pub(crate) unsafe fn put_hollow(&mut self, span: NonNull<Span>, units: u64, to: u32) -> Hand {
        let mut hand = Hand::new();
        // SAFETY: [HOME-LOCKED] by the caller.
        unsafe {
            span.as_ref().body(|body| body.note_holes(units));
            if self.home.inbox.is_closed() {
                hand.push(span);
                rehome(span, to);
            } else {
                self.adopt_or_retire(span);
            }
        }
        hand
    }

    /// Takes one span with free blocks of a class off the shelf and gives it
    /// the home `to`. It is in the caller's hands until adopted there.
    pub(crate) fn lend(&mut self, class: usize, to: u32) -> Option<NonNull<Span>> {
        let span = NonNull::new(self.home.shelves().partial[class].head)?;
        self.unshelve(span);
        rehome(span, to);
        Some(span)
    }

    /// Gives the spans with free blocks of a class the home `to`.
    pub(crate) fn lend_all(&mut self, class: usize, to: u32, hand: &mut Hand) {
        while let Some(span) = NonNull::new(self.home.shelves().partial[class].head) {
            self.unshelve(span);
            // SAFETY: [HOME-LOCKED] off the shelf, and still of this home.
            unsafe { hand.push(span) };
            rehome(span, to);
        }
    }

    /// Gives all spans, the full ones too, the home `to`.
    pub(crate) fn lend_everything(&mut self, to: u32, hand: &mut Hand) {
        for class in 0..CLASSES {
            self.lend_all(class, to, hand);
        }
        while let Some(span) = NonNull::new(self.home.shelves().full.head) {
            self.unshelve(span);
            // SAFETY: as above.
            unsafe { hand.push(span) };
            rehome(span, to);
        }
    }

    fn unshelve(&mut self, span: NonNull<Span>) {
        let shelves = self.home.shelves();
        // SAFETY: [HOME-LOCKED] the span is on one of our shelves.
        unsafe {
            let (class, shelf) = span.as_ref().body(|body| (body.class as usize, body.shelf));
            match shelf {
                Shelf::Full => shelves.full.remove(span),
                _ => shelves.partial[class].remove(span),
            }
            span.as_ref().body(|body| body.shelf = Shelf::InHand);
        }
    }

    /// Gives the lock back. The spans that were emptied are the caller's now:
    /// their granules must go back to their chunks.
    #[must_use = "empty spans hold memory"]
    pub(crate) fn close(self) -> Hand {
        self.empty
    }
}

/// Gives a span another home: first the entries, then the home itself, with
/// which it leaves our hands.
fn rehome(span: NonNull<Span>, to: u32) {
    // SAFETY: [HOME-LOCKED] called under the lock of the present home.
    unsafe {
        if sync::step("rehome_publishes") {
            span.as_ref().body(|body: &mut Body| page_map::publish_owner(body, to));
        }
        span.as_ref().set_home(to);
    }
}

/// Makes a span of `class` at `base`, all blocks free, with the home `to`. It is
/// on no shelf yet.
///
/// # Safety
/// The span's granules are claimed by the caller; `long` is as for
/// [`Body::carve`].
pub(crate) unsafe fn found(
    span: NonNull<Span>,
    class: usize,
    base: *mut u8,
    long: *mut u64,
    to: u32,
) {
    // SAFETY: [HOME-LOCKED] who claimed the granules has the span.
    unsafe {
        span.as_ref().body(|body| {
            body.carve(class, base, long);
            page_map::publish_owner(body, to);
        });
        span.as_ref().set_home(to);
    }
}

/// Takes a span that was emptied out of use; its granules may be given back
/// after this. Returns where it is, its bytes, and how many units are holes.
///
/// # Safety
/// The span came out of [`Open::close`].
pub(crate) unsafe fn retire(span: NonNull<Span>) -> (*mut u8, usize, usize) {
    // SAFETY: the span is in our hands alone, all its blocks are free.
    unsafe {
        let place = span.as_ref().body(|body| {
            page_map::publish_owner(body, NO_HOME);
            (body.base, body.bytes(), body.holes().count_ones() as usize)
        });
        span.as_ref().set_home(NO_HOME);
        place
    }
}

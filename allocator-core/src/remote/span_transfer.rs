//! Spans move between homes: from a thread that ends, or sleeps, to its arena,
//! and from there to a thread that needs them. On the way a span names its
//! next home already and is in the hands of the one who moves it.
//!
//! No function holds two locks; each is called with none.

use core::ptr::{self, NonNull};

use crate::base::sync;
use crate::heaps::heap::{Hollow, Home};
use crate::heaps::heap_table;
use crate::heaps::remote_queue::MailBox;
use crate::pages::arena;
use crate::remote::send::Boxes;
use crate::spans::span::{Hand, Span};

/// Moves all spans of a home to another, and closes its inbox. Returns the
/// mail that was left; what is in it belongs elsewhere by now.
pub(crate) fn leave(home: &Home, to: &Home) -> *mut MailBox {
    let mut hand = Hand::new();
    if let Some(mut open) = home.open() {
        open.lend_everything(to.id(), &mut hand);
        arena::retire(open.close());
    }
    settle_in(to, hand);
    let Some(mut open) = home.open() else { return ptr::null_mut() };
    let mail = open.close_inbox();
    // Some may have been in another's hand before. Now, no span names this home
    // any more; whoever is refused from here on looks its owner up again.
    let mut hand = Hand::new();
    if sync::step("leave_looks_again") {
        open.lend_everything(to.id(), &mut hand);
    }
    arena::retire(open.close());
    settle_in(to, hand);
    mail
}

/// Puts spans that name `home` on its shelves, and gives empty ones back.
fn settle_in(home: &Home, mut hand: Hand) {
    if hand.is_empty() {
        return;
    }
    let Some(mut open) = home.open() else { return };
    // SAFETY: [HOME-LOCKED] the spans name this home, whose lock is held.
    unsafe {
        while let Some(span) = hand.pop() {
            open.adopt_or_retire(span);
        }
    }
    arena::retire(open.close());
}

/// A span of `from` for the home `to`, if it has one of the class with free
/// blocks. It is in the caller's hands.
pub(crate) fn lend(from: &Home, class: usize, to: u32) -> Option<NonNull<Span>> {
    let mut open = from.open()?;
    let mail = open.drain();
    let span = open.lend(class, to);
    after(open.close(), mail);
    span
}

/// Takes blocks from the spans of a home, and from `fresh` if there is one.
///
/// # Safety
/// `want` slots below `end` are the caller's; `fresh` names the home and is
/// in our hands.
pub(crate) unsafe fn take(
    home: &Home,
    fresh: Option<NonNull<Span>>,
    class: usize,
    end: *mut *mut u8,
    want: usize,
) -> usize {
    let Some(mut open) = home.open() else { return 0 };
    let mail = open.drain();
    // SAFETY: by the caller.
    let got = unsafe {
        if let Some(span) = fresh {
            open.adopt(span);
        }
        open.take(class, end, want)
    };
    home.count_out(class, got);
    after(open.close(), mail);
    got
}

/// What a home gives: blocks, or the next box of its mail, which is to be
/// read first.
pub(crate) enum Given {
    /// So many blocks were taken out of the bitmaps.
    Blocks(usize),
    /// To be read, and then put back by [`finish`].
    Letter(NonNull<MailBox>),
}

/// As [`take`], but where there is mail, it is not put away: whoever reads it
/// takes what he needs, without a look at the blocks' spans.
///
/// # Safety
/// `want` slots below `end` are the caller's.
pub(crate) unsafe fn take_or_letter(
    home: &Home,
    class: usize,
    end: *mut *mut u8,
    want: usize,
) -> Given {
    let Some(mut open) = home.open() else { return Given::Blocks(0) };
    if let Some(letter) = open.letter() {
        home.beat();
        arena::retire(open.close());
        return Given::Letter(letter);
    }
    // SAFETY: by the caller.
    let got = unsafe { open.take(class, end, want) };
    home.count_out(class, got);
    arena::retire(open.close());
    Given::Blocks(got)
}

/// Puts away what is left in a letter of `home`'s.
pub(crate) fn finish(home: &Home, letter: NonNull<MailBox>, boxes: &mut Boxes) {
    // SAFETY: [BOX-ONE-PLACE] the letter is in our hands.
    let left = unsafe {
        letter.as_ref().open(|contents| {
            contents.next = ptr::null_mut();
            contents.len
        })
    };
    if left != 0
        && let Some(mut open) = home.open()
    {
        open.sort(letter.as_ptr());
        arena::retire(open.close());
    }
    boxes.unpack(letter.as_ptr());
}

/// Has a span note from now on whether blocks are taken there.
pub(crate) fn watch(span: NonNull<Span>) {
    // SAFETY: what once was a span stays one.
    let span = unsafe { span.as_ref() };
    if let Some(open) = heap_table::get(span.home()).and_then(Home::try_open) {
        open.watch(span);
        arena::retire(open.close());
    }
}

/// Waits for the home of a span. False: it was lost in a fork, and will not come.
pub(crate) fn wait_for(span: NonNull<Span>) -> bool {
    // SAFETY: what once was a span stays one.
    let home = heap_table::get(unsafe { span.as_ref() }.home());
    let open = home.and_then(Home::open);
    open.map(|open| arena::retire(open.close())).is_some()
}

/// Bytes of a span that are free. `None`: it cannot be said now.
pub(crate) fn free_bytes(span: NonNull<Span>) -> Option<usize> {
    // SAFETY: what once was a span stays one.
    let span = unsafe { span.as_ref() };
    let open = heap_table::get(span.home())?.try_open()?;
    let bytes = open.free_bytes(span);
    arena::retire(open.close());
    bytes
}

/// What became of a span that was looked at for memory to give back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Hollowed {
    /// It has none.
    No,
    /// It may have some the next time.
    Later,
    /// So many units went back.
    Units(usize),
}

/// Gives back what memory a span has without a live block, in whole pages of
/// `page` units: `give` does that, and says which units it was. Meanwhile the
/// span is in our hand, so that nobody takes a block from there. If its home is
/// closed then, it goes to the home `to`. With `rested`, a span of which blocks were
/// taken since the last time is left alone.
pub(crate) fn hollow(
    span: NonNull<Span>,
    page: usize,
    rested: bool,
    to: &Home,
    give: impl FnOnce(*mut u8, u64) -> u64,
) -> Hollowed {
    // SAFETY: what once was a span stays one.
    let Some(home) = heap_table::get(unsafe { span.as_ref() }.home()) else { return Hollowed::No };
    let Some(mut open) = home.try_open() else { return Hollowed::Later };
    let hollow = open.take_hollow(span, page, rested);
    arena::retire(open.close());
    let (base, units) = match hollow {
        Hollow::No => return Hollowed::No,
        Hollow::Later => return Hollowed::Later,
        Hollow::Units { base, units } => (base, units),
    };
    let given = give(base, units);
    // A home that was lost in a fork has lost its spans, too.
    let Some(mut open) = home.open() else { return Hollowed::No };
    // SAFETY: the span is in our hand, and names this home until we say otherwise.
    let hand = unsafe { open.put_hollow(span, given, to.id()) };
    arena::retire(open.close());
    settle_in(to, hand);
    Hollowed::Units(given.count_ones() as usize)
}

/// Moves a home's spans of a class with free blocks to another, if its lock
/// is free. Says whether there were any.
pub(crate) fn rob(home: &Home, to: &Home, class: usize) -> bool {
    let Some(mut open) = home.try_open() else { return false };
    let mail = open.drain();
    let mut hand = Hand::new();
    open.lend_all(class, to.id(), &mut hand);
    let found = !hand.is_empty();
    after(open.close(), mail);
    settle_in(to, hand);
    found
}

fn after(empty: Hand, mail: *mut MailBox) {
    arena::retire(empty);
    if !mail.is_null() {
        let mut boxes = Boxes::new();
        boxes.unpack(mail);
        boxes.empty();
    }
}

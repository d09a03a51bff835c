//! Sending freed blocks to their homes, and the boxes they travel in. The
//! caller holds no lock.

use core::ptr::{self, NonNull};

use crate::base::misuse::{self, Misuse, Place};
use crate::heaps::heap::{Home, Millis, Open};
use crate::heaps::heap_table;
use crate::heaps::remote_queue::{BOX_BLOCKS, Closed, MailBox};
use crate::pages::arena;
use crate::pages::metadata;
use crate::spans::page_map::{self, MAP};
use crate::spans::span::NO_HOME;
use crate::sys;

/// A group of at least so many blocks of one owner travels in boxes; the bits
/// of smaller ones are set by the sender, if the owner's lock is free.
#[cfg(not(strata_loom))]
const BOX_WORTHWHILE: usize = 32;
/// Small, for the models.
#[cfg(strata_loom)]
const BOX_WORTHWHILE: usize = 2;

/// Boxes that wait in an inbox before a sender puts their contents away for
/// the owner, who seems to be asleep.
#[cfg(not(strata_loom))]
const DEEP: u32 = 4;
/// Small, for the models.
#[cfg(strata_loom)]
const DEEP: u32 = 2;

/// Boxes that wait in an inbox before a sender does so in any case: some
/// thousands of blocks. The owner is awake, but does not allocate.
const MUCH: u32 = 256;

/// Blocks that are grouped by owner at once.
const AT_ONCE: usize = 256;

/// Boxes kept by a thread for its next mail.
const KEPT: usize = 8;

/// Empty boxes of one thread (or of nobody, in passing).
pub(crate) struct Boxes {
    list: *mut MailBox,
    count: usize,
}

impl Boxes {
    pub(crate) const fn new() -> Self {
        Boxes { list: ptr::null_mut(), count: 0 }
    }

    fn get(&mut self) -> Option<NonNull<MailBox>> {
        let Some(mail) = NonNull::new(self.list) else {
            return Some(metadata::get(size_of::<MailBox>())?.cast());
        };
        // SAFETY: [BOX-ONE-PLACE] boxes on our list are ours.
        self.list = unsafe { mail.as_ref().open(|contents| contents.next) };
        self.count -= 1;
        Some(mail)
    }

    fn put(&mut self, mail: NonNull<MailBox>) {
        if self.count == KEPT {
            // SAFETY: [BOX-ONE-PLACE] the box is ours, and came from the pool.
            unsafe { metadata::put(mail.cast(), size_of::<MailBox>()) };
            return;
        }
        // SAFETY: [BOX-ONE-PLACE] the box is ours.
        unsafe { mail.as_ref().open(|contents| contents.next = self.list) };
        self.list = mail.as_ptr();
        self.count += 1;
    }

    /// Gives all boxes back to the pool.
    pub(crate) fn empty(&mut self) {
        while let Some(mail) = NonNull::new(self.list) {
            // SAFETY: [BOX-ONE-PLACE] boxes on our list are ours, from the pool.
            unsafe {
                self.list = mail.as_ref().open(|contents| contents.next);
                metadata::put(mail.cast(), size_of::<MailBox>());
            }
        }
        self.count = 0;
    }

    /// Sends every block home. They are small, ours, and in no other place.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    pub(crate) unsafe fn send(&mut self, blocks: &mut [*mut u8]) {
        for blocks in blocks.chunks_mut(AT_ONCE) {
            // SAFETY: by the caller.
            unsafe { self.send_grouped(blocks) };
        }
    }

    /// Sends at most [`AT_ONCE`] blocks, owner by owner.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn send_grouped(&mut self, blocks: &mut [*mut u8]) {
        // Owners may change at any time: each is read once.
        let entries = MAP.entries();
        let mut owners = [0; AT_ONCE];
        for (owner, block) in owners.iter_mut().zip(&*blocks) {
            *owner = page_map::owner(entries.of(*block));
        }
        let mut group = [ptr::null_mut(); AT_ONCE];
        let mut left = blocks.len().min(AT_ONCE);
        while left != 0 {
            let id = owners[0];
            let (mut members, mut others) = (0, 0);
            for at in 0..left {
                let (owner, block) = (owners[at], blocks[at]);
                if owner == id {
                    group[members] = block;
                    members += 1;
                } else {
                    (owners[others], blocks[others]) = (owner, block);
                    others += 1;
                }
            }
            // SAFETY: by the caller.
            unsafe { self.send_group(id, &mut group[..members]) };
            left = others;
        }
    }

    /// Sends blocks that seem to have one owner.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn send_group(&mut self, id: u32, blocks: &mut [*mut u8]) {
        let Some(home) = heap_table::get(id) else {
            // SAFETY: by the caller.
            return unsafe { send_strays(blocks) };
        };
        let mut left = blocks.len();
        if left < BOX_WORTHWHILE
            && let Some(open) = home.try_open()
        {
            // SAFETY: by the caller: those left have other homes by now.
            return unsafe {
                left = put_away(open, blocks);
                send_strays(&blocks[..left]);
            };
        }
        while left != 0 {
            let len = left.min(BOX_BLOCKS);
            let part = &mut blocks[left - len..left];
            // SAFETY: by the caller.
            unsafe {
                if !self.mail(home, part) {
                    Self::send_by_hand(home, part);
                }
            }
            left -= len;
        }
    }

    /// Posts one box of blocks; false if there is no box, or nobody to post to.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn mail(&mut self, home: &Home, blocks: &[*mut u8]) -> bool {
        let Some(mail) = self.get() else { return false };
        // SAFETY: [BOX-ONE-PLACE] the box is in our hands.
        unsafe {
            mail.as_ref().open(|contents| {
                contents.blocks[..blocks.len()].copy_from_slice(blocks);
                contents.len = blocks.len();
            });
        }
        match home.post(mail) {
            Ok(depth) => {
                if depth >= DEEP && (depth >= MUCH || home.sleeps(sys::monotonic_ms() as Millis)) {
                    self.relieve(home);
                }
                true
            }
            Err(Closed) => {
                self.put(mail);
                false
            }
        }
    }

    /// Puts blocks into their spans under the lock of their owner, whoever
    /// that is by now.
    ///
    /// # Safety
    /// \[LIVE-PINS-SPAN\]
    unsafe fn send_by_hand(home: &Home, blocks: &mut [*mut u8]) {
        let Some(open) = home.open() else { return };
        // SAFETY: by the caller.
        unsafe {
            let left = put_away(open, blocks);
            send_strays(&blocks[..left]);
        }
    }

    /// Puts the mail of a home away for its owner, if its lock is free.
    #[cold]
    pub(crate) fn relieve(&mut self, home: &Home) {
        if let Some(open) = home.try_open() {
            self.drain(open);
        }
    }

    /// As [`relieve`](Self::relieve), waiting for the lock: no mail is left that came
    /// before.
    #[cold]
    pub(crate) fn relieve_surely(&mut self, home: &Home) {
        if let Some(open) = home.open() {
            self.drain(open);
        }
    }

    fn drain(&mut self, mut open: Open<'_>) {
        let mail = open.drain();
        arena::retire(open.close());
        self.unpack(mail);
    }

    /// Keeps the boxes of drained mail, and sends on what is left in them.
    pub(crate) fn unpack(&mut self, mut list: *mut MailBox) {
        while let Some(mail) = NonNull::new(list) {
            // SAFETY: [BOX-ONE-PLACE] drained boxes are ours.
            list = unsafe {
                mail.as_ref().open(|contents| {
                    // SAFETY: [LIVE-PINS-SPAN] blocks in the mail are out still.
                    send_strays(&contents.blocks[..contents.len]);
                    contents.next
                })
            };
            self.put(mail);
        }
    }
}

/// Puts blocks away in an open home. Returns how many have another home; they
/// are in front.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
unsafe fn put_away(mut open: Open<'_>, blocks: &mut [*mut u8]) -> usize {
    // SAFETY: by the caller.
    let left = unsafe { open.put(blocks) };
    arena::retire(open.close());
    left
}

/// Sends blocks whose entry was out of date when it was read.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
unsafe fn send_strays(blocks: &[*mut u8]) {
    for block in blocks {
        // SAFETY: by the caller.
        unsafe { send_one(*block) };
    }
}

/// Puts a block into its span, under the lock of the home that the span names;
/// and again, if that is no longer right then. (A span moves a few times at
/// most: when its thread ends, when it is stolen, when it is lent.)
///
/// The span is asked, not its entry: who moves a span holds the lock of the
/// home that it names, so we wait there. The entry names the next home a
/// little earlier, at which we would be turned away again and again.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
pub(crate) unsafe fn send_one(block: *mut u8) {
    // A home that was lost in a fork takes nothing: the block is lost.
    // SAFETY: by the caller, here and below.
    while let Some(open) = unsafe { home_of(block) }.and_then(Home::open) {
        // SAFETY: as above.
        if unsafe { put_away(open, &mut [block]) } == 0 {
            break;
        }
    }
}

/// The home of a block's span. A span that is not in use gives away that the
/// block was freed before.
///
/// # Safety
/// \[LIVE-PINS-SPAN\]
unsafe fn home_of(block: *mut u8) -> Option<&'static Home> {
    // SAFETY: by the caller; what once was a span stays one.
    let id = unsafe { page_map::span_of(block).as_ref() }.home();
    if id == NO_HOME {
        misuse::misuse(Misuse::DoubleFree, block, &Place { span: 0, block: 0 }, 0);
    }
    heap_table::get(id)
}

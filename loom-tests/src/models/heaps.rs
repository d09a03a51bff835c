//! Spans move between homes while others put blocks back: stealing, lending,
//! a thread's end. In all of them every block is in one place at the end, and
//! was in one thread's hands at a time.

use crate::heaps::remote_queue::MailBox;
use crate::model::{Model, outcome};
use crate::remote::send::Boxes;
use crate::remote::span_transfer::{self, Given};
use crate::world::{self, Blocks, CLASS, World, put, spawn, take};

/// A thief moves a span from home 1 to home 2, and whoever needs it from there
/// to home 3, while a third thread sends one of its blocks home.
pub(super) static MOVING: Model = Model {
    name: "moving",
    preemptions: Some(3),
    executions: 4_000,
    outcomes: &["home 1", "home 2", "home 3, 6 blocks", "home 3, 7 blocks"],
    body: moving,
};

/// The owner of home 1 takes a block and puts one back, while a thief moves
/// its span to home 2; if it is gone, the owner borrows it.
pub(super) static STEALING: Model = Model {
    name: "stealing",
    preemptions: None,
    executions: 5_000,
    outcomes: &["kept", "stolen", "stolen and borrowed"],
    body: stealing,
};

/// Two threads borrow the one span of home 1, and a third sends a block of it.
pub(super) static LENDING: Model = Model {
    name: "lending",
    preemptions: Some(3),
    executions: 2_000,
    outcomes: &["home 2, 6 blocks", "home 2, 7 blocks", "home 3, 6 blocks", "home 3, 7 blocks"],
    body: lending,
};

/// The thread of home 1 ends, its spans go to home 2, and another thread opens
/// home 1 again, while a third sends two blocks, which go in a box.
pub(super) static LEAVING: Model = Model {
    name: "leaving",
    preemptions: Some(3),
    executions: 1_000,
    outcomes: &["closing took the box", "it came to the next owner", "refused"],
    body: leaving,
};

/// A thread sends two boxes of blocks home, and puts them away itself if they
/// seem to lie about, while their owner takes what it can, twice.
pub(super) static RELIEVING: Model = Model {
    name: "relieving",
    preemptions: Some(3),
    executions: 200,
    outcomes: &[
        "took [3, 0], mail: false",
        "took [3, 0], mail: true",
        "took [3, 2], mail: false",
        "took [3, 2], mail: true",
        "took [3, 4], mail: false",
        "took [5, 0], mail: false",
        "took [5, 0], mail: true",
        "took [5, 2], mail: false",
        "took [7, 0], mail: false",
    ],
    body: relieving,
};

/// As `relieving`, but the owner reads its mail: it keeps one block of each box,
/// and puts the other away. Then a thread that ends closes the inbox.
pub(super) static READING: Model = Model {
    name: "reading",
    preemptions: Some(3),
    executions: 200,
    outcomes: &[
        "read [false, false], mail: false",
        "read [false, false], mail: true",
        "read [false, true], mail: false",
        "read [false, true], mail: true",
        "read [true, false], mail: false",
        "read [true, false], mail: true",
        "read [true, true], mail: false",
    ],
    body: reading,
};

/// Sends blocks of which we are the users.
fn send(world: &World, blocks: &[*mut u8]) {
    for block in blocks {
        world.touch(*block);
    }
    // SAFETY: [LIVE-PINS-SPAN] the blocks are ours until they are sent.
    unsafe { Boxes::new().send(&mut blocks.to_vec()) };
}

/// Borrows a span of `from` for `to` and takes all it has.
fn borrow(world: &World, from: u32, to: u32) -> Blocks {
    let Some(span) = span_transfer::lend(world.home(from), CLASS, to) else { return vec![] };
    let home = world.home(to);
    let mut slots = vec![core::ptr::null_mut(); world::SPAN_BLOCKS];
    let end = slots.as_mut_ptr_range().end;
    // SAFETY: the span names the home; there are so many slots.
    let got = unsafe { span_transfer::take(home, Some(span), CLASS, end, slots.len()) };
    let blocks = slots.split_off(slots.len() - got);
    for block in &blocks {
        world.touch(*block);
    }
    blocks
}

fn moving() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 2);
        let kept = blocks.pop().unwrap();
        let sender = spawn(move || send(world, &blocks));
        let thief = spawn(move || span_transfer::rob(world.home(1), world.home(2), CLASS));
        let mut borrowed = borrow(world, 2, 3);
        sender.join().unwrap();
        let robbed = thief.join().unwrap();
        let count = borrowed.len();
        let home = world.settle([1 + count, 0])[0];
        assert_eq!(home, if count != 0 { 3 } else { 1 + u32::from(robbed) });
        outcome(match count {
            0 => format!("home {home}"),
            _ => format!("home {home}, {count} blocks"),
        });
        borrowed.push(kept);
        put(world.home(home), &mut borrowed);
    });
}

fn stealing() {
    world::with(0, |world| {
        let kept = world.furnish(0, 1, 1);
        let thief = spawn(move || span_transfer::rob(world.home(1), world.home(2), CLASS));
        let owner = spawn(move || {
            let mut mine = take(world.home(1), 1);
            let mut borrowed = false;
            if mine.is_empty() {
                mine = borrow(world, 2, 1);
                borrowed = !mine.is_empty();
            }
            for block in &mine {
                world.touch(*block);
            }
            // SAFETY: [LIVE-PINS-SPAN] the blocks are ours until they are sent.
            unsafe { Boxes::new().send(&mut mine) };
            borrowed
        });
        let stolen = thief.join().unwrap();
        let borrowed = owner.join().unwrap();
        let home = world.settle([1, 0])[0];
        outcome(match (stolen, borrowed) {
            (false, false) => "kept",
            (true, false) => "stolen",
            (true, true) => "stolen and borrowed",
            (false, true) => panic!("borrowed from nobody"),
        });
        assert_eq!(home, if stolen && !borrowed { 2 } else { 1 });
        send(world, &kept);
    });
}

fn lending() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 2);
        let kept = blocks.pop().unwrap();
        let threads = [2, 3].map(|to| spawn(move || borrow(world, 1, to)));
        send(world, &blocks);
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        assert!(first.is_empty() != second.is_empty(), "one of them has the span");
        let mut all = [first, second].concat();
        let count = all.len();
        let home = world.settle([1 + count, 0])[0];
        outcome(format!("home {home}, {count} blocks"));
        all.push(kept);
        put(world.home(home), &mut all);
    });
}

fn leaving() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 3);
        let kept = blocks.split_off(2);
        let sender = spawn(move || send(world, &blocks));
        let owner = spawn(move || {
            let mail = span_transfer::leave(world.home(1), world.home(2));
            let got = !mail.is_null();
            unpack(mail);
            got
        });
        let closing = owner.join().unwrap();
        world.home(1).reopen();
        sender.join().unwrap();
        let mail = world.home(1).has_mail();
        assert_eq!(world.settle([1, 0]), [2, 0]);
        outcome(match (closing, mail) {
            (true, false) => "closing took the box",
            (false, true) => "it came to the next owner",
            (false, false) => "refused",
            (true, true) => panic!("one box, posted twice"),
        });
        send(world, &kept);
    });
}

fn unpack(mail: *mut MailBox) {
    Boxes::new().unpack(mail);
}

fn relieving() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 5);
        let kept = blocks.split_off(4);
        let sender = spawn(move || {
            for pair in blocks.chunks(2) {
                send(world, pair);
            }
        });
        let first = take(world.home(1), 8);
        let second = take(world.home(1), 8);
        for block in first.iter().chain(&second) {
            world.touch(*block);
        }
        sender.join().unwrap();
        let mail = world.home(1).has_mail();
        let count = [first.len(), second.len()];
        assert_eq!(world.settle([1 + count[0] + count[1], 0]), [1, 0]);
        outcome(format!("took {count:?}, mail: {mail}"));
        put(world.home(1), &mut [first, second, kept].concat());
    });
}

/// What the owner of home 1 finds: one block of its next letter, the other put
/// away; or a block of its spans. Says whether there was a letter.
fn read_next(world: &World) -> (Blocks, bool) {
    let home = world.home(1);
    let mut slot: *mut u8 = core::ptr::null_mut();
    let mut mine = vec![];
    let mut letters = false;
    // SAFETY: there is one slot below the end of `slot`.
    match unsafe { span_transfer::take_or_letter(home, CLASS, (&raw mut slot).wrapping_add(1), 1) }
    {
        Given::Blocks(got) => mine.extend((got != 0).then_some(slot)),
        Given::Letter(letter) => {
            let mut wants = |block| {
                let first = mine.is_empty();
                first.then(|| mine.push(block));
                first
            };
            // SAFETY: [BOX-ONE-PLACE] the letter came to our hands.
            unsafe { letter.as_ref().open(|contents| contents.offer(&mut wants)) };
            letters = !mine.is_empty();
            span_transfer::finish(home, letter, &mut Boxes::new());
        }
    }
    for block in &mine {
        world.touch(*block);
    }
    (mine, letters)
}

fn reading() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 5);
        let kept = blocks.split_off(4);
        let sender = spawn(move || {
            for pair in blocks.chunks(2) {
                send(world, pair);
            }
        });
        let [first, second] = [read_next(world), read_next(world)];
        let read = [first.1, second.1];
        let mine = [first.0, second.0].concat();
        sender.join().unwrap();
        let mail = world.home(1).has_mail();
        unpack(span_transfer::leave(world.home(1), world.home(2)));
        assert_eq!(world.settle([kept.len() + mine.len(), 0]), [2, 0]);
        outcome(format!("read {read:?}, mail: {mail}"));
        put(world.home(2), &mut [mine, kept].concat());
    });
}

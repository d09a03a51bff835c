//! Spans move between heaps while other threads put blocks back: stealing, transfer,
//! the end of a thread. In each model every block is in one place at the end, and
//! belonged to one thread at a time.

use crate::heaps::remote_queue::Batch;
use crate::model::{Model, outcome};
use crate::remote::send::BatchPool;
use crate::remote::span_transfer;
use crate::remote::take_from_heap::{self, Refill};
use crate::world::{self, Blocks, CLASS, World, put, spawn, take};

/// One thread steals a span from heap 1 for heap 2, and another transfers it from there
/// to heap 3, while a third sends one of its blocks.
pub(super) static MOVING: Model = Model {
    name: "moving",
    preemptions: Some(3),
    executions: 4_000,
    outcomes: &["heap 1", "heap 2", "heap 3, 6 blocks", "heap 3, 7 blocks"],
    body: moving,
};

/// The owner of heap 1 takes a block and puts it back, while another thread steals its
/// span for heap 2. If the span is gone, the owner transfers it back.
pub(super) static STEALING: Model = Model {
    name: "stealing",
    preemptions: None,
    executions: 5_000,
    outcomes: &["kept", "stolen", "stolen and transferred back"],
    body: stealing,
};

/// Two threads want the only span of heap 1, and a third sends a block of it.
pub(super) static TRANSFER: Model = Model {
    name: "transfer",
    preemptions: Some(3),
    executions: 2_000,
    outcomes: &["heap 2, 6 blocks", "heap 2, 7 blocks", "heap 3, 6 blocks", "heap 3, 7 blocks"],
    body: transfer,
};

/// The thread of heap 1 ends, its spans go to heap 2, and another thread reopens heap 1,
/// while a third sends two blocks in a batch.
pub(super) static ABANDONING: Model = Model {
    name: "abandoning",
    preemptions: Some(3),
    executions: 1_000,
    outcomes: &["taken by close", "pushed to the next owner", "refused"],
    body: abandoning,
};

/// A thread sends two batches of blocks, and drains the queue itself if the owner seems
/// to be asleep, while the owner takes what it can, twice.
pub(super) static DRAINING: Model = Model {
    name: "draining",
    preemptions: Some(3),
    executions: 200,
    outcomes: &[
        "took [3, 0], batches: false",
        "took [3, 0], batches: true",
        "took [3, 2], batches: false",
        "took [3, 2], batches: true",
        "took [3, 4], batches: false",
        "took [5, 0], batches: false",
        "took [5, 0], batches: true",
        "took [5, 2], batches: false",
        "took [7, 0], batches: false",
    ],
    body: draining,
};

/// As `draining`, but the owner receives the batches: it keeps one block of each and
/// puts the other away. Then the owner ends, which closes the remote queue.
pub(super) static RECEIVING: Model = Model {
    name: "receiving",
    preemptions: Some(3),
    executions: 200,
    outcomes: &[
        "read [false, false], batches: false",
        "read [false, false], batches: true",
        "read [false, true], batches: false",
        "read [false, true], batches: true",
        "read [true, false], batches: false",
        "read [true, false], batches: true",
        "read [true, true], batches: false",
    ],
    body: receiving,
};

/// Sends blocks that the caller uses.
fn send(world: &World, blocks: &[*mut u8]) {
    for block in blocks {
        world.touch(*block);
    }
    // SAFETY: [LIVE-PINS-SPAN] the blocks are live until they are sent.
    unsafe { BatchPool::new().send(&mut blocks.to_vec()) };
}

/// Transfers a span of heap `from` to heap `to` and takes all its free blocks.
fn borrow(world: &World, from: u32, to: u32) -> Blocks {
    let Some(span) = span_transfer::transfer_one(world.heap(from), CLASS, to) else {
        return vec![];
    };
    let heap = world.heap(to);
    let mut slots = vec![core::ptr::null_mut(); world::SPAN_BLOCKS];
    let end = slots.as_mut_ptr_range().end;
    // SAFETY: the span names the heap; there are so many slots.
    let got = unsafe { take_from_heap::take(heap, Some(span), CLASS, end, slots.len()) };
    let got = got.expect("no handler interrupts anything");
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
        let stealer = spawn(move || span_transfer::steal(world.heap(1), world.heap(2), CLASS));
        let mut borrowed = borrow(world, 2, 3);
        sender.join().unwrap();
        let stolen = stealer.join().unwrap();
        let count = borrowed.len();
        let heap = world.settle([1 + count, 0])[0];
        assert_eq!(heap, if count != 0 { 3 } else { 1 + u32::from(stolen) });
        outcome(match count {
            0 => format!("heap {heap}"),
            _ => format!("heap {heap}, {count} blocks"),
        });
        borrowed.push(kept);
        put(world.heap(heap), &mut borrowed);
    });
}

fn stealing() {
    world::with(0, |world| {
        let kept = world.furnish(0, 1, 1);
        let stealer = spawn(move || span_transfer::steal(world.heap(1), world.heap(2), CLASS));
        let owner = spawn(move || {
            let mut mine = take(world.heap(1), 1);
            let mut borrowed = false;
            if mine.is_empty() {
                mine = borrow(world, 2, 1);
                borrowed = !mine.is_empty();
            }
            for block in &mine {
                world.touch(*block);
            }
            // SAFETY: [LIVE-PINS-SPAN] the blocks are live until they are sent.
            unsafe { BatchPool::new().send(&mut mine) };
            borrowed
        });
        let stolen = stealer.join().unwrap();
        let borrowed = owner.join().unwrap();
        let heap = world.settle([1, 0])[0];
        outcome(match (stolen, borrowed) {
            (false, false) => "kept",
            (true, false) => "stolen",
            (true, true) => "stolen and transferred back",
            (false, true) => panic!("transferred, but not stolen"),
        });
        assert_eq!(heap, if stolen && !borrowed { 2 } else { 1 });
        send(world, &kept);
    });
}

fn transfer() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 2);
        let kept = blocks.pop().unwrap();
        let threads = [2, 3].map(|to| spawn(move || borrow(world, 1, to)));
        send(world, &blocks);
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        assert!(first.is_empty() != second.is_empty(), "one thread has the span");
        let mut all = [first, second].concat();
        let count = all.len();
        let heap = world.settle([1 + count, 0])[0];
        outcome(format!("heap {heap}, {count} blocks"));
        all.push(kept);
        put(world.heap(heap), &mut all);
    });
}

fn abandoning() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 3);
        let kept = blocks.split_off(2);
        let sender = spawn(move || send(world, &blocks));
        let owner = spawn(move || {
            let batches = span_transfer::abandon(world.heap(1), world.heap(2));
            let got = !batches.is_null();
            recycle(batches);
            got
        });
        let closing = owner.join().unwrap();
        world.heap(1).reopen();
        sender.join().unwrap();
        let batches = world.heap(1).has_batches();
        assert_eq!(world.settle([1, 0]), [2, 0]);
        outcome(match (closing, batches) {
            (true, false) => "taken by close",
            (false, true) => "pushed to the next owner",
            (false, false) => "refused",
            (true, true) => panic!("one batch, pushed twice"),
        });
        send(world, &kept);
    });
}

fn recycle(batches: *mut Batch) {
    BatchPool::new().recycle(batches);
}

fn draining() {
    world::with(0, |world| {
        let mut blocks = world.furnish(0, 1, 5);
        let kept = blocks.split_off(4);
        let sender = spawn(move || {
            for pair in blocks.chunks(2) {
                send(world, pair);
            }
        });
        let first = take(world.heap(1), 8);
        let second = take(world.heap(1), 8);
        for block in first.iter().chain(&second) {
            world.touch(*block);
        }
        sender.join().unwrap();
        let batches = world.heap(1).has_batches();
        let count = [first.len(), second.len()];
        assert_eq!(world.settle([1 + count[0] + count[1], 0]), [1, 0]);
        outcome(format!("took {count:?}, batches: {batches}"));
        put(world.heap(1), &mut [first, second, kept].concat());
    });
}

/// What the owner of heap 1 finds: one block of its next received batch, of which the
/// others are returned to their span; or a block of its spans. Returns whether there was a batch.
fn read_next(world: &World) -> (Blocks, bool) {
    let heap = world.heap(1);
    let mut slot: *mut u8 = core::ptr::null_mut();
    let mut mine = vec![];
    let mut was_received = false;
    // SAFETY: there is one slot below the end of `slot`.
    match unsafe {
        take_from_heap::take_or_receive(heap, CLASS, (&raw mut slot).wrapping_add(1), 1)
    } {
        Refill::Blocks(got) => mine.extend((got != 0).then_some(slot)),
        Refill::Received(received) => {
            let mut wants = |block| {
                let first = mine.is_empty();
                first.then(|| mine.push(block));
                first
            };
            // SAFETY: [BATCH-ONE-PLACE] the received batch belongs to this thread.
            unsafe { received.as_ref().with(|contents| contents.extract(&mut wants)) };
            was_received = !mine.is_empty();
            take_from_heap::finish_received(heap, received, &mut BatchPool::new());
        }
    }
    for block in &mine {
        world.touch(*block);
    }
    (mine, was_received)
}

fn receiving() {
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
        let batches = world.heap(1).has_batches();
        recycle(span_transfer::abandon(world.heap(1), world.heap(2)));
        assert_eq!(world.settle([kept.len() + mine.len(), 0]), [2, 0]);
        outcome(format!("read {read:?}, batches: {batches}"));
        put(world.heap(2), &mut [mine, kept].concat());
    });
}

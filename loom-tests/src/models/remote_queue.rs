//! The remote queue: push against take-all; push against close and reopen.

use core::ptr::{self, NonNull};

use loom::sync::Arc;

use crate::base::sync::Guarded;
use crate::heaps::remote_queue::{Batch, RemoteQueue};
use crate::model::{Model, outcome};
use crate::pages::metadata;
use crate::world::{self, spawn};

/// Two threads push, one of them twice. The owner takes all twice meanwhile, and once
/// when they are done.
pub(super) static TAKE: Model = Model {
    name: "remote_take_all",
    preemptions: Some(3),
    executions: 7_000,
    outcomes: &[
        "[0, 0, 3]",
        "[0, 1, 2]",
        "[0, 2, 1]",
        "[0, 3, 0]",
        "[1, 0, 2]",
        "[1, 1, 1]",
        "[1, 2, 0]",
        "[2, 0, 1]",
        "[2, 1, 0]",
        "[3, 0, 0]",
    ],
    body: take,
};

/// One thread pushes while the owner ends and closes the queue. The next owner reopens
/// it, takes all once, and once more when the sender is done.
pub(super) static CLOSE: Model = Model {
    name: "remote_close",
    preemptions: None,
    executions: 100,
    outcomes: &["taken by close", "refused", "taken by the next owner"],
    body: close,
};

/// A batch with one mark in it.
fn batch_with(mark: usize) -> NonNull<Batch> {
    let batch = metadata::alloc(size_of::<Batch>()).expect("a batch").cast::<Batch>();
    // SAFETY: [BATCH-ONE-PLACE] the batch is new.
    unsafe {
        batch.as_ref().with(|contents| {
            contents.blocks[0] = ptr::without_provenance_mut(mark);
            contents.len = 1;
        });
    }
    batch
}

/// The marks in a list of batches.
fn marks(mut list: *mut Batch) -> Vec<usize> {
    let mut marks = vec![];
    while let Some(batch) = NonNull::new(list) {
        // SAFETY: [BATCH-ONE-PLACE] the caller took the list.
        list = unsafe {
            batch.as_ref().with(|contents| {
                assert_eq!(contents.len, 1);
                marks.push(contents.blocks[0].addr());
                contents.next
            })
        };
    }
    marks
}

fn take() {
    world::with(0, |_| {
        let remote_queue = Arc::new(RemoteQueue::new());
        let threads: Vec<_> = [vec![1, 2], vec![3]]
            .into_iter()
            .map(|all| {
                let remote_queue = remote_queue.clone();
                spawn(move || {
                    for mark in all {
                        assert!(remote_queue.push(batch_with(mark)).is_ok());
                    }
                })
            })
            .collect();
        let first = marks(remote_queue.take_all());
        let second = marks(remote_queue.take_all());
        for thread in threads {
            thread.join().unwrap();
        }
        let last = marks(remote_queue.take_all());
        outcome(format!("{:?}", [first.len(), second.len(), last.len()]));
        let mut all = [first, second, last].concat();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        assert!(!remote_queue.has_batches());
    });
}

struct Shared {
    remote_queue: RemoteQueue,
    /// The owner writes it before it closes; a sender that is refused reads it.
    moved: Guarded<bool>,
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

fn close() {
    world::with(0, |_| {
        let shared =
            Arc::new(Shared { remote_queue: RemoteQueue::new(), moved: Guarded::new(false) });
        let sender = {
            let shared = shared.clone();
            spawn(move || {
                let pushed = shared.remote_queue.push(batch_with(1)).is_ok();
                if !pushed {
                    // SAFETY: the owner wrote it before it closed.
                    shared.moved.with(|moved| assert!(unsafe { *moved }));
                }
                pushed
            })
        };
        let owner = {
            let shared = shared.clone();
            spawn(move || {
                // SAFETY: it is read only after the close below.
                shared.moved.with(|moved| unsafe { *moved = true });
                marks(shared.remote_queue.close())
            })
        };
        let at_close = owner.join().unwrap();
        shared.remote_queue.reopen();
        let mut next = marks(shared.remote_queue.take_all());
        let pushed = sender.join().unwrap();
        next.extend(marks(shared.remote_queue.take_all()));
        outcome(match (pushed, &at_close[..], &next[..]) {
            (true, [1], []) => "taken by close",
            (true, [], [1]) => "taken by the next owner",
            (false, [], []) => "refused",
            _ => panic!("a batch in two places, or in none"),
        });
        // A second time: in the child of a fork, the heap of a vanished thread may be closed.
        (0..2).for_each(|_| assert_eq!(marks(shared.remote_queue.close()), []));
        assert!(shared.remote_queue.push(batch_with(2)).is_err(), "closed");
    });
}

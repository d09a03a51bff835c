//! The inbox: posting against taking all; against closing, and opening again.

use core::ptr::{self, NonNull};

use loom::sync::Arc;

use crate::base::sync::Guarded;
use crate::heaps::remote_queue::{Inbox, MailBox};
use crate::model::{Model, outcome};
use crate::world::{self, spawn};

/// Two threads post, one of them twice; the owner takes twice meanwhile, and
/// once when they are done.
pub(super) static TAKE: Model = Model {
    name: "inbox_take",
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

/// One thread posts; the owner ends and closes; another comes and opens, and
/// takes once, and once more when the poster is done.
pub(super) static CLOSE: Model = Model {
    name: "inbox_close",
    preemptions: None,
    executions: 100,
    outcomes: &["closing took it", "refused", "the next owner took it"],
    body: close,
};

/// A box with one mark in it.
fn box_with(mark: usize) -> NonNull<MailBox> {
    let mail = world::world().new_box();
    // SAFETY: [BOX-ONE-PLACE] the box is new.
    unsafe {
        mail.as_ref().open(|contents| {
            contents.blocks[0] = ptr::without_provenance_mut(mark);
            contents.len = 1;
        });
    }
    mail
}

/// The marks in a list of boxes.
fn marks(mut list: *mut MailBox) -> Vec<usize> {
    let mut marks = vec![];
    while let Some(mail) = NonNull::new(list) {
        // SAFETY: [BOX-ONE-PLACE] the caller took the list.
        list = unsafe {
            mail.as_ref().open(|contents| {
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
        let inbox = Arc::new(Inbox::new());
        let threads: Vec<_> = [vec![1, 2], vec![3]]
            .into_iter()
            .map(|all| {
                let inbox = inbox.clone();
                spawn(move || {
                    for mark in all {
                        assert!(inbox.post(box_with(mark)).is_ok());
                    }
                })
            })
            .collect();
        let first = marks(inbox.take_all());
        let second = marks(inbox.take_all());
        for thread in threads {
            thread.join().unwrap();
        }
        let last = marks(inbox.take_all());
        outcome(format!("{:?}", [first.len(), second.len(), last.len()]));
        let mut all = [first, second, last].concat();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        assert!(!inbox.has_mail());
    });
}

struct Shared {
    inbox: Inbox,
    /// What the owner writes before it closes, and whoever is refused reads.
    moved: Guarded<bool>,
}

// SAFETY: loom reports it where it is not so.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

fn close() {
    world::with(0, |_| {
        let shared = Arc::new(Shared { inbox: Inbox::new(), moved: Guarded::new(false) });
        let poster = {
            let shared = shared.clone();
            spawn(move || {
                let posted = shared.inbox.post(box_with(1)).is_ok();
                if !posted {
                    // SAFETY: the owner wrote it before it closed.
                    shared.moved.with(|moved| assert!(unsafe { *moved }));
                }
                posted
            })
        };
        let owner = {
            let shared = shared.clone();
            spawn(move || {
                // SAFETY: nobody reads it yet.
                shared.moved.with(|moved| unsafe { *moved = true });
                marks(shared.inbox.close())
            })
        };
        let at_close = owner.join().unwrap();
        shared.inbox.reopen();
        let mut next = marks(shared.inbox.take_all());
        let posted = poster.join().unwrap();
        next.extend(marks(shared.inbox.take_all()));
        outcome(match (posted, &at_close[..], &next[..]) {
            (true, [1], []) => "closing took it",
            (true, [], [1]) => "the next owner took it",
            (false, [], []) => "refused",
            _ => panic!("a box in two places, or in none"),
        });
        assert_eq!(marks(shared.inbox.close()), []);
        assert!(shared.inbox.post(box_with(2)).is_err(), "closed");
    });
}

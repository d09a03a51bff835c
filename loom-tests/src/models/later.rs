//! Memory whose free has to wait: two threads keep some, while a third takes what there is.

use core::ptr::NonNull;

use loom::sync::Arc;

use crate::base::later::{Later, Link};
use crate::base::sync::Guarded;
use crate::model::{Model, outcome};
use crate::world::spawn;

/// Each thread keeps one piece. What is taken meanwhile and afterwards is all.
pub(super) static LATER: Model = Model {
    name: "later",
    preemptions: None,
    executions: 50,
    outcomes: &["0 and 2", "1 and 1", "2 and 0"],
    body: later,
};

/// A piece of memory: its first word, and what its user wrote.
#[repr(C)]
struct Piece {
    link: Link,
    data: Guarded<u32>,
}

struct Shared {
    later: Later,
    pieces: [Piece; 2],
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// Takes what there is, and uses it. Returns how many pieces.
fn take(later: &Later) -> usize {
    let mut taken = 0;
    later.take_all(|at| {
        // SAFETY: all that is kept here is a piece.
        let piece = unsafe { at.cast::<Piece>().as_ref() };
        // SAFETY: loom reports a thread that uses it at the same time.
        piece.data.with(|data| assert_eq!(unsafe { *data }, 7));
        taken += 1;
    });
    taken
}

fn later() {
    let piece = || Piece { link: Link::new(), data: Guarded::new(0) };
    let shared = Arc::new(Shared { later: Later::new(), pieces: [piece(), piece()] });
    let threads: Vec<_> = (0..2)
        .map(|i| {
            let shared = shared.clone();
            spawn(move || {
                let piece = &shared.pieces[i];
                // SAFETY: the piece is this thread's until it is kept.
                unsafe {
                    piece.data.with(|data| *data = 7);
                    shared.later.keep(NonNull::from(piece).cast());
                }
            })
        })
        .collect();
    let meanwhile = take(&shared.later);
    for thread in threads {
        thread.join().unwrap();
    }
    let afterwards = take(&shared.later);
    assert!(shared.later.is_empty());
    assert_eq!(meanwhile + afterwards, 2, "memory was lost");
    outcome(format!("{meanwhile} and {afterwards}"));
}

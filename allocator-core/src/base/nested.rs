//! Which threads are in a slow path of a signal handler that interrupts another slow path.
//! What is interrupted may hold a lock, and another thread may wait for that: so a nested
//! slow path does not wait for the locks of others for ever ([`crate::base::lock`]).
//!
//! Few threads are nested at a time: a nested one writes its token into a free place of a
//! short list. One that finds none waits as the others do.

use crate::base::ordering;
use crate::base::sync::{self, AtomicU32};

/// Nested slow paths that are known at once.
const PLACES: usize = 64;

/// The tokens of their threads; 0: free. A thread may have several.
static TOKENS: [AtomicU32; PLACES] = [const { AtomicU32::new(0) }; PLACES];

/// The calling thread begins a nested slow path.
#[cold]
pub(crate) fn begin() {
    change(0, sync::thread_token());
}

/// It ends one.
#[cold]
pub(crate) fn end() {
    change(sync::thread_token(), 0);
}

/// The calling thread is in none: it begins, or ends, and another one had its token, or it left
/// some by jumps.
pub(crate) fn forget() {
    let token = sync::thread_token();
    for place in &TOKENS {
        if place.load(ordering::nested_tokens()) == token {
            place.store(0, ordering::nested_tokens());
        }
    }
}

/// Whether the calling thread is in one.
#[cold]
pub(crate) fn is_here() -> bool {
    let token = sync::thread_token();
    TOKENS.iter().any(|place| place.load(ordering::nested_tokens()) == token)
}

/// In the child of a fork: the other threads do not exist here.
pub(crate) fn after_fork() {
    let token = sync::thread_token();
    for place in &TOKENS {
        if place.load(ordering::nested_tokens()) != token {
            place.store(0, ordering::nested_tokens());
        }
    }
}

/// Changes one place that has this token, if there is one.
fn change(from: u32, to: u32) {
    let _ = TOKENS.iter().any(|place| {
        place
            .compare_exchange(from, to, ordering::nested_tokens(), ordering::nested_tokens())
            .is_ok()
    });
}

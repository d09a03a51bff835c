//! Switching on and off, while the program runs, what allocations are sampled for.

use crate::base::sync::AtomicU32;
use crate::profile::rate::{self, For};
use crate::sys;
use crate::thread::registry;

/// Sets a rate; 0 switches it off. All threads follow.
pub(crate) fn set(what: For, rate: usize) {
    rate::set(what, rate);
    lead_to_slow_path();
}

/// Milliseconds for a thread to end the slow path that it is in.
const MOMENT: u32 = 1;

/// Makes each thread take a slow path at its next free, where it looks at the rates. One that
/// brings its view up to date at this moment may undo that, and have looked before: so it is
/// done again a little later.
fn lead_to_slow_path() {
    let ask = || registry::threads().for_each(|(_, cache)| cache.request_flush());
    ask();
    sys::futex_wait_for(&AtomicU32::new(0), 0, MOMENT);
    ask();
}

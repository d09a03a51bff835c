//! Snapshots of the heap profile that are kept for a later comparison, and the profile for as
//! long as a request needs it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use allocator_core::Strata;
use strata_profile::Snapshot;

/// Most snapshots that are kept; the oldest goes.
const MOST: usize = 8;

struct Kept {
    snapshots: VecDeque<(u64, Snapshot)>,
    last: u64,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept { snapshots: VecDeque::new(), last: 0 });

/// The requests that measure what grows, with a profile that was off before.
struct Borrowers {
    count: usize,
    /// How often somebody has switched it on or off: those from before count no longer.
    switched: u64,
}

static BORROWERS: Mutex<Borrowers> = Mutex::new(Borrowers { count: 0, switched: 0 });

/// Most requests that measure at a time: they take long, and others must find room.
const MOST_MEASURING: usize = 4;

static MEASURING: Mutex<usize> = Mutex::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a snapshot. Returns its number.
pub(super) fn keep(snapshot: Snapshot) -> u64 {
    let mut kept = lock(&KEPT);
    kept.last += 1;
    let number = kept.last;
    if kept.snapshots.len() == MOST {
        kept.snapshots.pop_front();
    }
    kept.snapshots.push_back((number, snapshot));
    number
}

/// The snapshot of this number.
pub(super) fn get(number: u64) -> Option<Snapshot> {
    let kept = lock(&KEPT);
    kept.snapshots.iter().find(|(it, _)| *it == number).map(|(_, snapshot)| snapshot.clone())
}

/// The numbers of all that are kept.
pub(super) fn numbers() -> Vec<u64> {
    lock(&KEPT).snapshots.iter().map(|(number, _)| *number).collect()
}

/// Switches the profile on, to stay on.
pub(super) fn start(bytes: usize) {
    let mut borrowers = lock(&BORROWERS);
    borrowers.count = 0;
    borrowers.switched += 1;
    strata_profile::start(bytes);
}

/// Switches the profile off, also for those who measure.
pub(super) fn stop() {
    let mut borrowers = lock(&BORROWERS);
    borrowers.count = 0;
    borrowers.switched += 1;
    strata_profile::stop();
}

/// What grows in `duration`. A profile that is off is on meanwhile.
/// `None`: too many measure already.
pub(super) fn growth(duration: Duration) -> Option<Snapshot> {
    let _measuring = Measuring::one_more()?;
    let _borrowed = borrow();
    let before = Snapshot::take();
    thread::sleep(duration);
    Some(Snapshot::take().since(&before))
}

/// One of the requests that measure.
struct Measuring;

impl Measuring {
    fn one_more() -> Option<Self> {
        let mut measuring = lock(&MEASURING);
        (*measuring < MOST_MEASURING).then(|| {
            *measuring += 1;
            Measuring
        })
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        *lock(&MEASURING) -= 1;
    }
}

/// The profile is on, until it is dropped, unless somebody has switched it meanwhile.
struct Borrowed {
    switched: u64,
}

fn borrow() -> Option<Borrowed> {
    let mut borrowers = lock(&BORROWERS);
    if borrowers.count == 0 {
        if Strata::profile_rate().is_some() {
            return None;
        }
        strata_profile::start(Strata::PROFILE_BYTES);
    }
    borrowers.count += 1;
    Some(Borrowed { switched: borrowers.switched })
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut borrowers = lock(&BORROWERS);
        if self.switched != borrowers.switched {
            return;
        }
        borrowers.count -= 1;
        if borrowers.count == 0 {
            strata_profile::stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Held by tests that switch the profile.
    static SWITCHING: Mutex<()> = Mutex::new(());

    #[test]
    fn the_last_are_kept() {
        let numbers: Vec<_> = (0..2 * MOST).map(|_| keep(Snapshot::take())).collect();
        assert_eq!(super::numbers(), numbers[MOST..]);
        assert!(get(numbers[MOST]).is_some() && get(numbers[MOST - 1]).is_none());
    }

    #[test]
    fn borrowers_follow_each_other() {
        let _alone = lock(&SWITCHING);
        let is_on = || Strata::profile_rate().is_some();
        let (first, second) = (borrow(), borrow());
        drop(first);
        assert!(is_on());
        drop(second);
        assert!(!is_on());
        // What was switched on meanwhile stays on, and what was switched off stays off.
        let borrowed = borrow();
        start(1 << 20);
        drop(borrowed);
        assert!(is_on() && borrow().is_none());
        stop();
        let (first, second) = (borrow(), borrow());
        stop();
        let third = borrow();
        drop(first);
        drop(second);
        assert!(is_on(), "for the third");
        drop(third);
        assert!(!is_on());
    }

    #[test]
    fn few_measure_at_a_time() {
        let _alone = lock(&SWITCHING);
        let measuring: Vec<_> = (0..MOST_MEASURING).map(|_| Measuring::one_more()).collect();
        assert!(measuring.iter().all(Option::is_some) && growth(Duration::ZERO).is_none());
        drop(measuring);
        assert!(growth(Duration::ZERO).is_some());
    }
}

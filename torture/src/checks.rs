//! What holds while all threads are stopped: every byte of every block, no two blocks
//! overlap, the subject counts what the reference counts, and its rows add up.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::subject::{Explained, Numbers};
use crate::violated;
use crate::world::{Counted, Tally, World};

/// More than any process has.
const TOO_MUCH: usize = 1 << 46;

/// How often numbers are read before they are wrong: the helper may be on its way, and a
/// signal handler in a thread that is stopped.
const TRIES: u32 = 200;

/// Free memory that may stay, beside tables: what is kept for the next blocks.
const MOST_KEPT: usize = 24 << 20;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// What the subject counts.
    pub numbers: Numbers,
    /// What it says that memory is used for.
    pub explained: Explained,
    /// Live blocks.
    pub blocks: usize,
}

impl World {
    /// Checks everything. No thread is within an operation.
    pub fn check(&self) -> Found {
        let mut found = self.check_blocks();
        found.explained = self.subject.explained().unwrap_or_default();
        let Explained { resident, sum, .. } = found.explained;
        if sum != resident {
            violated!("the rows add up to {sum}, of {resident} resident bytes");
        }
        found
    }

    /// Checks all but what memory is used for: the system is not asked.
    pub(crate) fn check_blocks(&self) -> Found {
        Tally::count(&self.tally.checks);
        let mut ranges = Vec::with_capacity(self.places.len());
        let (mut live, mut large) = (0..=0, 0..=0);
        for index in 0..self.places.len() {
            let Some(place) = self.place(index) else { continue };
            let Some(held) = place.as_ref() else { continue };
            World::verify(held, held.ptr, held.usable);
            ranges.push((held.ptr.addr(), held.usable, held.layout));
            let Counted { bytes, large: surely, run } = self.counted(held);
            live = live.start() + bytes..=live.end() + bytes.max(run);
            large = large.start() + surely..=large.end() + surely.max(run);
        }
        ranges.sort_unstable_by_key(|(start, ..)| *start);
        for pair in ranges.windows(2) {
            let ((start, bytes, layout), (next, _, other)) = (pair[0], pair[1]);
            if start + bytes > next {
                violated!("{start:#x} of {layout:?} overlaps {next:#x} of {other:?}");
            }
        }
        let numbers = self.settled(&live, &large);
        Found { numbers, explained: Explained::default(), blocks: ranges.len() }
    }

    /// The numbers, once they are those of the reference.
    fn settled(&self, live: &RangeInclusive<usize>, large: &RangeInclusive<usize>) -> Numbers {
        let mut last = Numbers::default();
        for _ in 0..TRIES {
            let Some(numbers) = self.subject.numbers() else { return last };
            let all = [
                numbers.live,
                numbers.cached,
                numbers.mapped,
                numbers.committed,
                numbers.free,
                numbers.metadata,
            ];
            if all.iter().any(|bytes| *bytes > TOO_MUCH) {
                violated!("below zero: {numbers:?}");
            }
            if live.contains(&numbers.live)
                && large.contains(&numbers.large)
                && numbers.free <= numbers.committed
                && numbers.large <= numbers.mapped
            {
                return numbers;
            }
            last = numbers;
            std::thread::sleep(Duration::from_millis(5));
        }
        violated!("{live:?} bytes are live, {large:?} of them large; it counts {last:?}");
    }

    /// Frees everything, and waits until memory is back. No other thread has a block of the
    /// subject.
    pub fn finish(&self) -> Found {
        self.free_all();
        let mut found = self.check();
        for _ in 0..TRIES {
            self.subject.thread_idle();
            self.subject.purge();
            found = self.check();
            // Committed bytes may be more: the blocks in caches of threads that wait lie in
            // spans of which the rest was purged.
            if found.explained.own <= MOST_KEPT + found.numbers.metadata {
                return found;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        violated!("all is freed, but memory is not back: {found:?}");
    }
}

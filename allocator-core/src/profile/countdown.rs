//! Counting the bytes that a thread allocates, down to its next sample.

use core::ptr;

use crate::base::ordering;
use crate::base::sync::{AtomicU64, AtomicUsize};
use crate::profile::rate;
use crate::sys;

/// Of a thread, or of all that have no cache, which may count at once: then some bytes are lost.
pub(crate) struct Countdown {
    /// Bytes before the next sample.
    gap: AtomicUsize,
    /// The rate that the gap is by.
    rate: AtomicUsize,
    /// The state of the random numbers; 0: there is none yet.
    random: AtomicU64,
}

/// An allocation that is to be sampled.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    size: usize,
    countdown: &'static Countdown,
}

impl Countdown {
    pub(crate) const fn new() -> Self {
        Countdown { gap: AtomicUsize::new(0), rate: AtomicUsize::new(0), random: AtomicU64::new(0) }
    }

    /// Counts an allocation. Returns whether it is to be sampled; then [`Due::take`] follows.
    #[inline(always)]
    pub(crate) fn is_due(&self, size: usize) -> bool {
        match self.gap.load(ordering::profile_gap()).checked_sub(size) {
            Some(left) => {
                self.gap.store(left, ordering::profile_gap());
                false
            }
            None => true,
        }
    }

    /// Like [`is_due`](Self::is_due), if the profile is on; also where nothing was counted yet.
    #[inline]
    pub(crate) fn due(&'static self, size: usize) -> Option<Due> {
        if rate::get() == 0 {
            return None;
        }
        self.draw_again();
        self.is_due(size).then_some(Due { size, countdown: self })
    }

    /// Draws the bytes before the next sample, if those that are left are by another rate.
    pub(crate) fn draw_again(&self) {
        if self.rate.load(ordering::profile_gap()) != rate::get() {
            self.draw();
        }
    }

    #[cold]
    fn draw(&self) {
        let rate = rate::get();
        let mut random = self.random.load(ordering::profile_random());
        if random == 0 {
            let (place, time) = (ptr::from_ref(self).addr() as u64, sys::monotonic_ms());
            random = (place ^ time.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            // The first numbers of seeds that differ little do, too.
            random = (0..8).fold(random, |random, _| rate::next_random(random));
        }
        random = rate::next_random(random);
        self.random.store(random, ordering::profile_random());
        let gap = if rate == 0 { usize::MAX } else { rate::gap(random, rate) };
        self.gap.store(gap, ordering::profile_gap());
        self.rate.store(rate, ordering::profile_gap());
    }
}

impl Due {
    pub(crate) fn new(size: usize, countdown: &'static Countdown) -> Self {
        Due { size, countdown }
    }

    /// The size, and the rate that it was found by; from here on, bytes are counted before the
    /// next sample. `None`: the profile was switched off meanwhile.
    pub(crate) fn take(self) -> Option<(usize, usize)> {
        let rate = self.countdown.rate.load(ordering::profile_gap());
        self.countdown.draw();
        (rate::get() != 0 && rate != 0).then_some((self.size, rate))
    }
}

//! Counting the bytes that a thread allocates, down to its next sample: of the heap profile, or of
//! guarded sampling. Both have points of their own on the line of bytes (`rate.rs`), and one count
//! goes to the nearest of all.
//!
//! ```text
//!  profile  ├───────────────────────•──     left
//!  guards   ├───────────•──────────────     left
//!           └─ counted ─┤                   gap: what is left to the nearest
//! ```

use core::ptr;

use crate::base::ordering;
use crate::base::sync::{AtomicU64, AtomicUsize};
use crate::profile::rate::{self, For};
use crate::sys;

/// Of a thread, or of all that have no cache, which may count at once: then some bytes are lost.
pub(crate) struct Countdown {
    /// Bytes before the next point.
    gap: AtomicUsize,
    /// The state of the random numbers; 0: there is none yet.
    random: AtomicU64,
    points: [Point; rate::ALL],
}

/// The next point.
struct Point {
    /// Bytes before it, when the gap was set.
    left: AtomicUsize,
    /// The rate that it is by.
    rate: AtomicUsize,
}

/// An allocation that is to be sampled.
#[derive(Clone, Copy)]
pub(crate) struct Due {
    size: usize,
    countdown: &'static Countdown,
}

/// What an allocation is sampled for.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// The heap profile, and its rate.
    pub(crate) profile: Option<usize>,
    /// Guarded sampling.
    pub(crate) is_guarded: bool,
}

impl Countdown {
    pub(crate) const fn new() -> Self {
        Countdown {
            gap: AtomicUsize::new(0),
            random: AtomicU64::new(0),
            points: [const { Point { left: AtomicUsize::new(0), rate: AtomicUsize::new(0) } };
                rate::ALL],
        }
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

    /// Like [`is_due`](Self::is_due), if anything is on; also where nothing was counted yet.
    #[inline]
    pub(crate) fn due(&'static self, size: usize) -> Option<Due> {
        if !rate::is_any_on() {
            return None;
        }
        self.draw_again();
        self.is_due(size).then_some(Due { size, countdown: self })
    }

    /// Draws all points anew, if those that are left are by other rates.
    pub(crate) fn draw_again(&self) {
        let rates = rate::all();
        let same =
            |(point, rate): (&Point, usize)| point.rate.load(ordering::profile_gap()) == rate;
        if !self.points.iter().zip(rates).all(same) {
            self.set(|_, _| None);
        }
    }

    /// Sets each point to the bytes that `left` says of it; `None`: it is drawn anew.
    #[cold]
    fn set(&self, left: impl Fn(usize, &Point) -> Option<usize>) {
        let mut gap = usize::MAX;
        for (at, (point, rate)) in self.points.iter().zip(rate::all()).enumerate() {
            let left = left(at, point).unwrap_or_else(|| self.draw(point, rate));
            point.left.store(left, ordering::profile_gap());
            gap = gap.min(left);
        }
        self.gap.store(gap, ordering::profile_gap());
    }

    /// Draws a point: the bytes before it.
    fn draw(&self, point: &Point, rate: usize) -> usize {
        point.rate.store(rate, ordering::profile_gap());
        let mut random = self.random.load(ordering::profile_random());
        if random == 0 {
            let (place, time) = (ptr::from_ref(self).addr() as u64, sys::monotonic_ms());
            random = (place ^ time.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            // The first numbers of seeds that differ little do, too.
            random = (0..8).fold(random, |random, _| rate::next_random(random));
        }
        random = rate::next_random(random);
        self.random.store(random, ordering::profile_random());
        if rate == 0 { usize::MAX } else { rate::gap(random, rate) }
    }
}

impl Due {
    pub(crate) fn new(size: usize, countdown: &'static Countdown) -> Self {
        Due { size, countdown }
    }

    /// What it is sampled for; from here on, bytes are counted before the next point. Nothing, if
    /// all was switched off meanwhile.
    pub(crate) fn take(self) -> Sample {
        let Due { size, countdown } = self;
        let at_first = |point: &Point| point.left.load(ordering::profile_gap());
        let whole = countdown.points.iter().map(at_first).min().unwrap_or(0);
        let before = whole.saturating_sub(countdown.gap.load(ordering::profile_gap()));
        let left = |point: &Point| at_first(point).saturating_sub(before);
        let hits = countdown.points.each_ref().map(|point| left(point) < size);
        let rates = countdown.points.each_ref().map(|it| it.rate.load(ordering::profile_gap()));
        countdown.set(|at, point| (!hits[at]).then(|| left(point) - size));
        let rate = |what: For| {
            let is_hit = hits[what as usize] && rate::get(what) != 0;
            Some(rates[what as usize]).filter(|rate| is_hit && *rate != 0)
        };
        Sample { profile: rate(For::Profile), is_guarded: rate(For::Guards).is_some() }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn each_has_points_of_its_own() {
        static COUNTDOWN: Countdown = Countdown::new();
        const RATES: [usize; 2] = [3_000, 10_000];
        rate::set(For::Profile, RATES[0]);
        rate::set(For::Guards, RATES[1]);
        for size in [8, 1000, 30_000] {
            let requests = 2_000_000_usize;
            let mut hits = [0_usize; 3];
            for _ in 0..requests {
                if let Some(due) = COUNTDOWN.due(size) {
                    let sample = due.take();
                    let here = [sample.profile.is_some(), sample.is_guarded];
                    hits[0] += usize::from(here[0]);
                    hits[1] += usize::from(here[1]);
                    hits[2] += usize::from(here == [true, true]);
                }
            }
            let chances = RATES.map(|rate| -f64::exp_m1(-(size as f64) / rate as f64));
            let [one, other] = chances;
            for (found, chance) in hits.into_iter().zip([one, other, one * other]) {
                let expected = requests as f64 * chance;
                let error = (found as f64 - expected).abs();
                assert!(error < 5.0 * expected.sqrt().max(2.0), "{size}: {hits:?}, {chances:?}");
            }
        }
        rate::set(For::Profile, 0);
        rate::set(For::Guards, 0);
        assert!(COUNTDOWN.due(1 << 40).is_none());
    }
}

//! What a thread or task of the program does once a second, if the program lends one: it looks how
//! much memory there is, and writes down how much the process uses.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, process, thread};

use allocator_core::Strata;

/// Between two looks.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// Looks from one point of the history to the next.
const LOOKS_PER_POINT: u64 = 10;

/// Most points that are kept: those of an hour.
const MOST_POINTS: usize = 360;

/// How much memory the process used at a moment, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point {
    /// Seconds since 1970.
    pub time: u64,
    /// Physical memory of the process, as the system says; 0 where it does not.
    pub resident_bytes: usize,
    /// See [`Stats::committed_bytes`](crate::Stats::committed_bytes).
    pub committed_bytes: usize,
    /// See [`Stats::live_bytes`](crate::Stats::live_bytes).
    pub live_bytes: usize,
}

static POINTS: Mutex<VecDeque<Point>> = Mutex::new(VecDeque::new());

/// The process that has a watch; 0: none. The child of a fork has another number, and no watch.
static WATCHED: AtomicU32 = AtomicU32::new(0);

/// The watch of this process, while there is one.
pub(crate) struct Watch {
    looks: u64,
}

impl Watch {
    /// The watch, unless the process has one.
    pub(crate) fn begin() -> Option<Self> {
        let process = process::id();
        let before = WATCHED.swap(process, Ordering::Relaxed);
        (before != process).then(|| Watch { looks: 0 })
    }

    /// Keeps watch, for ever.
    pub(crate) fn keep(mut self) {
        loop {
            self.look();
            thread::sleep(INTERVAL);
        }
    }

    /// To be called after each [`INTERVAL`], and before the first.
    pub(crate) fn look(&mut self) {
        Strata::check_pressure();
        if self.looks.is_multiple_of(LOOKS_PER_POINT) {
            add(Point::now());
        }
        self.looks += 1;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHED.store(0, Ordering::Relaxed);
    }
}

impl Point {
    /// This moment.
    pub(crate) fn now() -> Self {
        let stats = Strata::stats();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Point {
            time: time.as_secs(),
            resident_bytes: resident_bytes().unwrap_or(0),
            committed_bytes: stats.committed_bytes(),
            live_bytes: stats.live_bytes(),
        }
    }
}

/// As the system counts it, which is quick, and off by some pages for each processor.
fn resident_bytes() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1 << 10)
}

fn add(point: Point) {
    let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
    if points.len() == MOST_POINTS {
        points.pop_front();
    }
    points.push_back(point);
}

/// How much memory the process used in the last hour, every ten seconds, while it had a watch
/// ([`watch`]).
#[must_use]
pub fn history() -> Vec<Point> {
    POINTS.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
}

/// Lends the calling thread to the allocator: it looks how much memory there is, so that
/// [`Strata::on_pressure`] is heard of in an idle program, too, and writes the [`history`] down. It
/// wakes once a second, and does not return, unless the process has a watch already; then
/// it does at once.
///
/// ```no_run
/// std::thread::spawn(strata_alloc::watch);
/// ```
pub fn watch() {
    if let Some(watch) = Watch::begin() {
        watch.keep();
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;

    #[test]
    fn there_is_one_at_a_time() {
        let watch = Watch::begin();
        assert!(watch.is_some());
        assert!(Watch::begin().is_none());
        assert!(Watch::begin().is_none(), "the one before that was none has ended nothing");
        drop(watch);
        assert!(Watch::begin().is_some());
    }
}

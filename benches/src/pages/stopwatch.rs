//! The time of an operation.

use std::time::{Duration, Instant};

use super::run::{Run, Values, mib, peak};

/// For each so many operations one more is done before the time counts: the
/// allocator has its memory by then. For a few, none.
const WARM: usize = 8;

/// How often the rows of time do what they do.
pub(super) struct Counts {
    pub(super) warm: usize,
    pub(super) timed: usize,
}

/// `count` operations scaled, and those before.
pub(super) fn counts(run: &Run, count: usize) -> Counts {
    let timed = run.scaled(count);
    Counts { warm: (timed + WARM / 2) / WARM, timed }
}

/// Microseconds of an operation, and the peak.
pub(super) fn values(elapsed: Duration, operations: usize) -> Values {
    vec![Some(elapsed.as_secs_f64() * 1e6 / operations as f64), Some(mib(peak()))]
}

/// Times an operation that is done `count` times by this thread.
pub(super) fn time(run: &Run, count: usize, mut operation: impl FnMut()) -> Values {
    let Counts { warm, timed } = counts(run, count);
    (0..warm).for_each(|_| operation());
    let start = Instant::now();
    (0..timed).for_each(|_| operation());
    values(start.elapsed(), timed)
}

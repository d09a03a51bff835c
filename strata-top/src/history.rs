//! What was read of a process, one sample after the other.

use std::collections::VecDeque;

use crate::numbers::Class;
use crate::rows::Row;
use crate::sample::Sample;

/// Samples that are kept: as many as the widest screen has columns.
const MOST: usize = 1000;

/// The latest samples, the newest last. There is one at least.
pub(crate) struct History {
    samples: VecDeque<Sample>,
}

/// What a class has, and its change in a second.
pub(crate) struct ClassNow {
    pub(crate) class: Class,
    pub(crate) per_second: Option<f64>,
}

impl History {
    pub(crate) fn new(first: Sample) -> Self {
        History { samples: VecDeque::from([first]) }
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        if self.samples.len() == MOST {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(crate) fn now(&self) -> &Sample {
        self.samples.back().expect("there is one at least")
    }

    /// The one before the newest, and the seconds between them.
    fn before(&self) -> Option<(&Sample, f64)> {
        let before = self.samples.iter().rev().nth(1)?;
        let seconds = self.now().since(before);
        (seconds > 0.0).then_some((before, seconds))
    }

    /// The change of a number in a second.
    pub(crate) fn per_second(&self, row: &Row) -> Option<f64> {
        let (before, seconds) = self.before()?;
        Some(row.growth(before, self.now())? / seconds)
    }

    /// The classes with blocks, the ones with most bytes first.
    pub(crate) fn classes(&self) -> Vec<ClassNow> {
        let before = self.before();
        let blocks_before = |size: usize| {
            let (before, seconds) = before?;
            let class = before.numbers.classes.iter().find(|it| it.block_bytes == size);
            Some((class.map_or(0, |class| class.live_blocks), seconds))
        };
        let mut classes: Vec<ClassNow> = self
            .now()
            .numbers
            .classes
            .iter()
            .map(|class| ClassNow {
                class: *class,
                per_second: blocks_before(class.block_bytes)
                    .map(|(before, seconds)| (class.live_blocks as f64 - before as f64) / seconds),
            })
            .collect();
        classes
            .sort_by_key(|it| std::cmp::Reverse(it.class.live_bytes() + it.class.cached_bytes()));
        classes
    }

    /// A number in each sample, the newest first.
    pub(crate) fn values(&self, get: fn(&Sample) -> Option<usize>) -> Vec<u64> {
        self.samples.iter().rev().map(|it| get(it).unwrap_or(0) as u64).collect()
    }

    /// The growth of a number in a second, between each two samples, the newest first.
    pub(crate) fn rates(&self, get: fn(&Sample) -> Option<usize>) -> Vec<u64> {
        let newer = self.samples.iter().rev();
        let pairs = newer.zip(self.samples.iter().rev().skip(1));
        let rate = |(now, before): (&Sample, &Sample)| {
            let growth = get(now).unwrap_or(0).saturating_sub(get(before).unwrap_or(0));
            (growth as f64 / now.since(before).max(0.001)) as u64
        };
        pairs.map(rate).collect()
    }
}
